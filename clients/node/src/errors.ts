// What can go wrong: gRPC's status, the contract's reason, and every wrong field.
import * as grpc from "@grpc/grpc-js";

/** One wrong field: its path in the request, and what is wrong with its value. */
export interface Violation {
  field: string;
  description: string;
}

/** A call or stream that failed. */
export class ExalignError extends Error {
  constructor(
    message: string,
    /** gRPC's code. */
    readonly code: grpc.status,
    /** `ErrorInfo.reason` of the contract; empty where there is none. */
    readonly reason = "",
    /** Every wrong field. */
    readonly violations: Violation[] = [],
    /** Milliseconds after which the server allows another attempt; undefined: it named none. */
    readonly retryAfter?: number,
  ) {
    super(message);
    this.name = new.target.name;
  }
}

/** A video could not be followed to its end, and what is missing cannot be had by trying again. */
export class SessionLostError extends ExalignError {
  constructor(
    message: string,
    /** Frames that were given and not answered. */
    readonly unanswered: number[],
    cause: ExalignError,
  ) {
    super(message, cause.code, cause.reason);
  }
}

/** The error of ours for one of grpc-js. */
export function errorFrom(error: unknown): ExalignError {
  if (error instanceof ExalignError) return error;
  const status = error as Partial<grpc.ServiceError>;
  if (typeof status.code !== "number") return new ExalignError(String(error), grpc.status.UNKNOWN);
  let reason = "";
  let retryAfter: number | undefined;
  const violations: Violation[] = [];
  const packed = status.metadata?.get("grpc-status-details-bin")[0];
  for (const detail of packed instanceof Buffer ? messages(fields(packed), 3) : []) {
    const type = text(detail, 1).split("/").pop();
    const value = fields(bytes(detail, 2));
    if (type === "google.rpc.ErrorInfo") reason = text(value, 1);
    if (type === "google.rpc.BadRequest")
      for (const one of messages(value, 1)) violations.push({ field: text(one, 1), description: text(one, 2) });
    if (type === "google.rpc.RetryInfo") {
      const delay = fields(bytes(value, 1));
      retryAfter = number(delay, 1) * 1000 + number(delay, 2) / 1e6;
    }
  }
  return new ExalignError(status.details || status.message || "", status.code, reason, violations, retryAfter);
}

// google.rpc.Status is not among our protos. Its wire format is read by hand: five messages of strings and numbers.
type Field = { id: number; value: number | Buffer };

function fields(buffer: Buffer): Field[] {
  const found: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let result = 0;
    for (let shift = 0; at < buffer.length && shift < 70; shift += 7) {
      const byte = buffer[at++];
      result += (byte & 127) * 2 ** shift;
      if (byte < 128) break;
    }
    return result;
  };
  while (at < buffer.length) {
    const key = varint();
    const [id, wire] = [Math.floor(key / 8), key % 8];
    if (wire === 0) found.push({ id, value: varint() });
    else if (wire === 2) {
      const length = varint();
      found.push({ id, value: buffer.subarray(at, at + length) });
      at += length;
    } else at += wire === 1 ? 8 : wire === 5 ? 4 : buffer.length;
  }
  return found;
}

const bytes = (all: Field[], id: number): Buffer => {
  const value = all.find((one) => one.id === id)?.value;
  return Buffer.isBuffer(value) ? value : Buffer.alloc(0);
};
const text = (all: Field[], id: number): string => bytes(all, id).toString("utf8");
const number = (all: Field[], id: number): number => {
  const value = all.find((one) => one.id === id)?.value;
  return typeof value === "number" ? value : 0;
};
const messages = (all: Field[], id: number): Field[][] =>
  all.filter((one) => one.id === id && Buffer.isBuffer(one.value)).map((one) => fields(one.value as Buffer));
