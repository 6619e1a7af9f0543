import { readFileSync } from "node:fs";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Server } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation } from "grpc-health-check";
import type { AuditLog } from "./audit.js";
import { GroupPolicyServiceService } from "./gen/openim/policy/v1/group.js";
import { MessagePolicyServiceService } from "./gen/openim/policy/v1/message.js";
import { RelationPolicyServiceService } from "./gen/openim/policy/v1/relation.js";
import type { Lookup } from "./lookup.js";
import { groupPolicy, messagePolicy, relationPolicy } from "./policy.js";

const services = ["Message", "Relation", "Group"].map((area) => `openim.policy.v1.${area}PolicyService`);

const options = {
  "grpc.max_receive_message_length": 16 * 1024 * 1024,
  // Clients look the name up again when a connection ends, and so find the replicas that were added since.
  "grpc.max_connection_age_ms": 5 * 60 * 1000,
};

/** Registers the policy with what every policy service should have beside it: health and reflection. */
export function createServer(words: Lookup, audit: AuditLog) {
  const server = new Server(options);
  server.addService(MessagePolicyServiceService, messagePolicy(words, audit));
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
  return { server, setHealth };
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
