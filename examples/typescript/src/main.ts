import { openSync, readFileSync } from "node:fs";
import { parseArgs, promisify } from "node:util";
import { logVerbosity, ServerCredentials, setLogVerbosity } from "@grpc/grpc-js";
import { AuditLog, writeTo } from "./audit.js";
import { contentFilter } from "./content.js";
import { lookup } from "./lookup.js";
import { createServer } from "./server.js";
import { parseWords, wordFilter } from "./text.js";

const usage =
  "usage: node dist/main.js [--listen HOST:PORT] [--word WORD]… [--words FILE] [--delay-ms MS] [--audit FILE]\n" +
  "The variable LISTEN sets HOST:PORT too.";
const stopMs = 3000;
const stdout = 1;

/** Something is wrong with what was asked for, rather than with this program: a sentence will do. */
class StartError extends Error {
  constructor(
    message: string,
    readonly exitCode = 1,
  ) {
    super(message);
  }
}

function readFlags() {
  try {
    const { values } = parseArgs({
      options: {
        listen: { type: "string", default: process.env.LISTEN || "127.0.0.1:50051" },
        word: { type: "string", multiple: true, default: [] },
        words: { type: "string" },
        "delay-ms": { type: "string", default: "0" },
        audit: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    });
    const [, host, port] = /^(.+):([0-9]{1,5})$/.exec(values.listen) ?? [];
    if (host === undefined || Number(port) > 65535) throw new Error(`--listen takes HOST:PORT, not "${values.listen}"`);
    const delayMs = Number(values["delay-ms"]);
    if (!/^[0-9]{1,9}$/.test(values["delay-ms"])) throw new Error("--delay-ms takes a number of milliseconds");
    return { ...values, host, delayMs };
  } catch (error) {
    throw new StartError(`${messageOf(error)}\n${usage}`, 2);
  }
}

function readWords(file: string): string[] {
  try {
    return parseWords(new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file)));
  } catch (error) {
    throw new StartError(`cannot read the words file ${file}: ${messageOf(error)}`);
  }
}

function openAudit(file: string | undefined): AuditLog {
  try {
    return new AuditLog(writeTo(file === undefined ? stdout : openSync(file, "a")));
  } catch (error) {
    throw new StartError(`cannot open the audit file ${file}: ${messageOf(error)}`);
  }
}

async function main() {
  const flags = readFlags();
  if (flags.help) {
    console.log(usage);
    return;
  }
  const words = [...flags.word, ...(flags.words === undefined ? [] : readWords(flags.words))];
  const audit = openAudit(flags.audit);

  const filter = contentFilter(wordFilter(words));
  const { server, setHealth } = createServer(lookup(filter, flags.delayMs), audit);

  let port: number;
  // grpc-js would print, before the error below, a line of its own about it.
  setLogVerbosity(logVerbosity.NONE);
  try {
    port = await promisify(server.bindAsync.bind(server))(flags.listen, ServerCredentials.createInsecure());
  } catch (error) {
    throw new StartError(`cannot listen on ${flags.listen}: ${messageOf(error)}`);
  }
  setLogVerbosity(logVerbosity.ERROR);
  if (words.length === 0) console.error("no words are given (--word, --words): no message is blocked");
  console.error(`listening on ${flags.host}:${port}`);

  const stop = () => {
    setHealth("NOT_SERVING");
    // Takes nothing new and waits for the calls that are here, but not for ever: a health watch, for one, never ends.
    server.tryShutdown(() => process.exit(0));
    setTimeout(() => {
      server.forceShutdown();
      process.exit(0);
    }, stopMs);
  };
  process.once("SIGTERM", stop).once("SIGINT", stop);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

main().catch((error: unknown) => {
  if (error instanceof StartError) console.error(error.message);
  else console.error(error);
  process.exit(error instanceof StartError ? error.exitCode : 1);
});
