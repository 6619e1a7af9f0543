import { write as writeFile } from "node:fs";
import { promisify } from "node:util";
import { stringify } from "lossless-json";

/** Writes some of the bytes, and gives their number. */
export type Write = (bytes: Uint8Array) => Promise<number>;

/** Writes to an open file. */
export function writeTo(fd: number): Write {
  return async (bytes) => (await promisify(writeFile)(fd, bytes)).bytesWritten;
}

/** The audit line could not be written. */
export class AuditError extends Error {}

/**
 * Appends one JSON object a line, each event once for as long as the process runs. After a restart, or in another replica,
 * an event can be written again. A service that keeps events in a database has it refuse the second one, in the
 * transaction of the effect: INSERT … ON CONFLICT (event_id) DO NOTHING.
 */
export class AuditLog {
  /** The last events by ID, oldest first. The promise is there while the line is being written, and after. */
  readonly #events = new Map<string, Promise<void>>();

  /** Ends when all that was begun has been written: lines go one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  /** A failed write has left half a line behind. */
  #torn = false;

  constructor(
    private readonly write: Write,
    private readonly remembered = 10_000,
  ) {}

  /**
   * Writes a line. hookgate delivers at least once, so an event can come again, even while its first delivery is still
   * here: whoever comes later waits for the same write. Without an ID there is nothing to tell events apart by.
   */
  async append(eventId: string, line: Record<string, unknown>): Promise<void> {
    if (eventId === "") return this.#write(line);
    const known = this.#events.get(eventId);
    if (known !== undefined) return known;
    const written = this.#write(line);
    this.#events.set(eventId, written);
    if (this.#events.size > this.remembered) {
      for (const oldest of this.#events.keys()) {
        this.#events.delete(oldest);
        break;
      }
    }
    try {
      await written;
    } catch (error) {
      // Forgotten, so that the redelivery writes it.
      if (this.#events.get(eventId) === written) this.#events.delete(eventId);
      throw error;
    }
  }

  async #write(line: Record<string, unknown>): Promise<void> {
    try {
      const written = this.#last.then(() => this.#writeLine(line));
      this.#last = written.catch(() => undefined);
      await written;
    } catch (error) {
      console.error("cannot write the audit line:", error);
      throw new AuditError("the audit line could not be written", { cause: error });
    }
  }

  async #writeLine(line: Record<string, unknown>): Promise<void> {
    // lossless-json writes a bigint as a number; JSON.stringify refuses it.
    const json = stringify(line) ?? "null";
    // A new line keeps half a line and a whole one apart.
    let rest = Buffer.from(`${this.#torn ? "\n" : ""}${json}\n`);
    while (rest.length > 0) {
      rest = rest.subarray(await this.write(rest));
      this.#torn = rest.length > 0;
    }
  }
}
