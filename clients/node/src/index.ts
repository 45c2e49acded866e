export { Client, ClientOptions } from "./client";
export { ExalignError, SessionLostError, Violation } from "./errors";
export { TrackEvent } from "./session";
export { FrameInput, TrackOptions, TrackStream } from "./track";
