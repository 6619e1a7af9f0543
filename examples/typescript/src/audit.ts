import { appendFile } from "node:fs";
import { promisify } from "node:util";
import { stringify } from "lossless-json";

const append = promisify(appendFile);

/** The audit line could not be written. */
export class AuditError extends Error {}

/** Appends one JSON object a line to a file, each event once. */
export class AuditLog {
  /** The last events by ID, oldest first. The promise is there while the line is being written, and after. */
  readonly #events = new Map<string, Promise<void>>();

  constructor(
    private readonly fd: number,
    private readonly remembered = 10_000,
  ) {}

  /**
   * Writes a line. hookgate delivers at least once, so an event can come again, even while its first delivery is still
   * here: whoever comes later waits for the same write. Without an ID there is nothing to tell events apart by.
   */
  async write(eventId: string, line: Record<string, unknown>): Promise<void> {
    if (eventId === "") return this.#append(line);
    const known = this.#events.get(eventId);
    if (known !== undefined) return known;
    const written = this.#append(line);
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

  async #append(line: Record<string, unknown>): Promise<void> {
    try {
      // lossless-json writes a bigint as a number; JSON.stringify refuses it.
      await append(this.fd, stringify(line) + "\n");
    } catch (error) {
      console.error("cannot write the audit line:", error);
      throw new AuditError("the audit line could not be written", { cause: error });
    }
  }
}
