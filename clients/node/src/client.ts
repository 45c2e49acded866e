// Calls about pictures and videos.
import * as grpc from "@grpc/grpc-js";
import { errorFrom } from "./errors";
import type { EstimatePoseRequest } from "./generated/exalign/v1/EstimatePoseRequest";
import type { EstimatePoseResponse__Output } from "./generated/exalign/v1/EstimatePoseResponse";
import type { FaceAlignmentServiceClient } from "./generated/exalign/v1/FaceAlignmentService";
import type { GetExemplarsRequest } from "./generated/exalign/v1/GetExemplarsRequest";
import type { GetExemplarsResponse__Output } from "./generated/exalign/v1/GetExemplarsResponse";
import type { GetModelResponse__Output } from "./generated/exalign/v1/GetModelResponse";
import type { PredictHeatmapsRequest } from "./generated/exalign/v1/PredictHeatmapsRequest";
import type { PredictHeatmapsResponse__Output } from "./generated/exalign/v1/PredictHeatmapsResponse";
import type { PredictLandmarksRequest } from "./generated/exalign/v1/PredictLandmarksRequest";
import type { PredictLandmarksResponse__Output } from "./generated/exalign/v1/PredictLandmarksResponse";
import type { QueryConditionalRequest } from "./generated/exalign/v1/QueryConditionalRequest";
import type { QueryConditionalResponse__Output } from "./generated/exalign/v1/QueryConditionalResponse";
import type { SuggestEvidenceRequest } from "./generated/exalign/v1/SuggestEvidenceRequest";
import type { SuggestEvidenceResponse__Output } from "./generated/exalign/v1/SuggestEvidenceResponse";
import { stubOf } from "./service";
import { FrameInput, TrackOptions, TrackStream } from "./track";

export interface ClientOptions {
  /** Default: no encryption. */
  credentials?: grpc.ChannelCredentials;
  /** Bearer token, or what gives one before each call. Anybody on the way can read it where there is no TLS. */
  token?: string | (() => string);
  /** Milliseconds for one call. Default 30,000. */
  timeout?: number;
}

type Unary<Request, Response> = (
  request: Request,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
  done: (error: grpc.ServiceError | null, response?: Response) => void,
) => grpc.ClientUnaryCall;

/** A caller of one server. Every failure is an ExalignError. */
export class Client {
  private readonly stub: FaceAlignmentServiceClient;
  private readonly timeout: number;
  private readonly token: () => string | undefined;

  constructor(address: string, options: ClientOptions = {}) {
    this.stub = stubOf(address, options.credentials ?? grpc.credentials.createInsecure());
    this.timeout = options.timeout ?? 30_000;
    const { token } = options;
    this.token = typeof token === "function" ? token : () => token;
  }

  /** Landmarks of each face, with their uncertainty. */
  predict(request: PredictLandmarksRequest): Promise<PredictLandmarksResponse__Output> {
    return this.ask(this.stub.predictLandmarks, request);
  }

  /** Where chosen landmarks may be. */
  heatmaps(request: PredictHeatmapsRequest): Promise<PredictHeatmapsResponse__Output> {
    return this.ask(this.stub.predictHeatmaps, request);
  }

  /** How the head is turned. */
  pose(request: EstimatePoseRequest): Promise<EstimatePoseResponse__Output> {
    return this.ask(this.stub.estimatePose, request);
  }

  /** One face given evidence, such as a click. */
  condition(request: QueryConditionalRequest): Promise<QueryConditionalResponse__Output> {
    return this.ask(this.stub.queryConditional, request);
  }

  /** Which landmark to click next. */
  suggest(request: SuggestEvidenceRequest): Promise<SuggestEvidenceResponse__Output> {
    return this.ask(this.stub.suggestEvidence, request);
  }

  /** Which model answers, and what is accepted. */
  model(): Promise<GetModelResponse__Output> {
    return this.ask(this.stub.getModel, {});
  }

  /** The shapes behind class ids. */
  exemplars(request: GetExemplarsRequest): Promise<GetExemplarsResponse__Output> {
    return this.ask(this.stub.getExemplars, request);
  }

  /**
   * Follow faces through a video (LOSSLESS): every frame is answered once, in order. Frames are taken from the iterable
   * no more than `window` ahead of answers. A stream that breaks is resumed; where the server has lost the session,
   * a new one begins with the unanswered frames, unless something would be missing (SessionLostError).
   */
  track(frames: Iterable<FrameInput> | AsyncIterable<FrameInput>, options: TrackOptions = {}): TrackStream {
    return new TrackStream(this.stub, frames, { timeout: this.timeout, metadata: () => this.metadata(), ...options });
  }

  close(): void {
    this.stub.close();
  }

  private metadata(): grpc.Metadata {
    const metadata = new grpc.Metadata();
    const token = this.token();
    if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
    return metadata;
  }

  private ask<Request, Response>(method: unknown, request: Request): Promise<Response> {
    const call = (method as Unary<Request, Response>).bind(this.stub);
    return new Promise((done, failed) => {
      call(request, this.metadata(), { deadline: Date.now() + this.timeout }, (error, response) =>
        error === null && response !== undefined ? done(response) : failed(errorFrom(error)),
      );
    });
  }
}
