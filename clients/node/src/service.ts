// The contract as grpc-js has it: messages by their JSON names, whole numbers as numbers, enumerations as strings.
import * as grpc from "@grpc/grpc-js";
import * as loader from "@grpc/proto-loader";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ProtoGrpcType } from "./generated/service";
import type { FaceAlignmentServiceClient } from "./generated/exalign/v1/FaceAlignmentService";

/** Where the protos are: beside what was compiled. */
function protos(): string {
  const found = [join(__dirname, "../protos"), join(__dirname, "../../protos")].find((path) =>
    existsSync(join(path, "exalign/v1/service.proto")),
  );
  if (found === undefined) throw new Error("the protos are not beside the compiled client: npm run build copies them");
  return found;
}

/** The options with which the types in src/generated were made; see package.json. */
const OPTIONS: loader.Options = { longs: Number, enums: String, defaults: true, oneofs: true };

const loaded = loader.loadSync("exalign/v1/service.proto", { ...OPTIONS, includeDirs: [protos()] });
const types = grpc.loadPackageDefinition(loaded) as unknown as ProtoGrpcType;

/** Largest answer that is taken, bytes; requests are limited by the server (`limits` of getModel). */
const MAX_ANSWER_BYTES = 64 * 2 ** 20;

/** A stub of the service. */
export function stubOf(address: string, credentials: grpc.ChannelCredentials): FaceAlignmentServiceClient {
  return new types.exalign.v1.FaceAlignmentService(address, credentials, {
    "grpc.max_receive_message_length": MAX_ANSWER_BYTES,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2_000,
  });
}
