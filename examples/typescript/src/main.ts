import { openSync, readFileSync } from "node:fs";
import { parseArgs, promisify } from "node:util";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { logVerbosity, Server, ServerCredentials, setLogVerbosity } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation } from "grpc-health-check";
import { AuditLog } from "./audit.js";
import { contentFilter } from "./content.js";
import { GroupPolicyServiceService } from "./gen/openim/policy/v1/group.js";
import { MessagePolicyServiceService } from "./gen/openim/policy/v1/message.js";
import { RelationPolicyServiceService } from "./gen/openim/policy/v1/relation.js";
import { groupPolicy, messagePolicy, relationPolicy } from "./policy.js";
import { parseWords, wordFilter } from "./text.js";

const usage = "usage: node dist/main.js [--listen HOST:PORT] [--word WORD]… [--words FILE] [--audit FILE]";
const services = ["Message", "Relation", "Group"].map((area) => `openim.policy.v1.${area}PolicyService`);
const maxRequestBytes = 16 * 1024 * 1024;
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
        listen: { type: "string", default: "127.0.0.1:50052" },
        word: { type: "string", multiple: true, default: [] },
        words: { type: "string" },
        audit: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    });
    const [, host, port] = /^(.+):([0-9]{1,5})$/.exec(values.listen) ?? [];
    if (host === undefined || Number(port) > 65535) throw new Error(`--listen takes HOST:PORT, not "${values.listen}"`);
    return { ...values, host };
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
    return new AuditLog(file === undefined ? stdout : openSync(file, "a"));
  } catch (error) {
    throw new StartError(`cannot open the audit file ${file}: ${messageOf(error)}`);
  }
}

/**
 * What reflection tells of: .proto files as buf compiled them, in the form of an entry of a package definition; of such
 * entries @grpc/reflection reads only the files. (The package definition that @grpc/proto-loader would make of them has
 * lost imports and map entries, so that grpcurl refuses it.)
 */
function describedBy(image: string) {
  const { file } = fromBinary(FileDescriptorSetSchema, readFileSync(new URL(image, import.meta.url)));
  const fileDescriptorProtos = file.map((proto) => Buffer.from(toBinary(FileDescriptorProtoSchema, proto)));
  return { format: "Protocol Buffer 3 EnumDescriptorProto" as const, type: {}, fileDescriptorProtos };
}

async function main() {
  const flags = readFlags();
  if (flags.help) {
    console.log(usage);
    return;
  }
  const words = [...flags.word, ...(flags.words === undefined ? [] : readWords(flags.words))];
  const audit = openAudit(flags.audit);

  const server = new Server({ "grpc.max_receive_message_length": maxRequestBytes });
  server.addService(MessagePolicyServiceService, messagePolicy(contentFilter(wordFilter(words)), audit));
  server.addService(RelationPolicyServiceService, relationPolicy(audit));
  server.addService(GroupPolicyServiceService, groupPolicy());

  const health = new HealthImplementation();
  const setHealth = (status: "SERVING" | "NOT_SERVING") => {
    for (const service of ["", ...services]) health.setStatus(service, status);
  };
  setHealth("SERVING");
  health.addToServer(server);

  const reflection = new ReflectionService(
    { contract: describedBy("contract.binpb"), health: describedBy("health.binpb") },
    { services: [...services, "grpc.health.v1.Health"] },
  );
  reflection.addToServer(server);

  // grpc-js would print, before the error below, a line of its own about it.
  setLogVerbosity(logVerbosity.NONE);
  let port: number;
  try {
    port = await promisify(server.bindAsync.bind(server))(flags.listen, ServerCredentials.createInsecure());
  } catch (error) {
    throw new StartError(`cannot listen on ${flags.listen}: ${messageOf(error)}`);
  }
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
