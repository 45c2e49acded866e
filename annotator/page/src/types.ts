// What the server answers. Pixels of the upright picture: the centre of the top-left pixel is (0, 0).

export type Point = [number, number];
export type Rectangle = [number, number, number, number];

export type Click = { kind: "click"; landmark: number; x: number; y: number };
export type Region = { kind: "inside" | "outside"; landmark: number; area: { rectangle: Rectangle } };
export type PoseRange = { kind: "pose"; yaw?: Point; pitch?: Point; roll?: Point };
export type Constraint = Click | Region | PoseRange;

export interface Face {
  id: number;
  source: { box: Rectangle; detector: string };
  evidence: Constraint[];
  hidden: number[];
  points: Point[];
  /** px²: xx, xy, yy. */
  covariances: [number, number, number][];
  /** Probability within 5 % of the box's diagonal. */
  confidences: number[];
  box: Rectangle;
  presence: number;
  /** Yaw, pitch, roll; degrees. */
  pose: [number, number, number];
  outcome: "conditioned" | "impossible" | "unknown";
  surprise: number | null;
}

export interface FrameEvidence {
  frame: number;
  evidence: Constraint[];
  hidden: number[];
}

export interface Timeline {
  state: "reading" | "tracking" | "ready" | "failed";
  detail: string;
  frames: number;
  /** Frames that the run in progress has answered. */
  through: number;
  size: Point | null;
  revision: number | null;
  /** Mean standard deviation of a landmark, in shares of the box's diagonal. */
  uncertainty: (number | null)[];
  states: ("visible" | "hidden" | "lost" | "unknown" | null)[];
  suggestions: { frame: number; landmark: number; error_reduction: number }[];
}

export interface Document {
  name: string;
  size: Point | null;
  faces: Face[];
  revision: number;
  done: boolean;
  /** Of a video: what was said of its frames. */
  frames: FrameEvidence[];
}

export interface Lease {
  mine: boolean;
  owner: string;
  since: number;
}

export interface Item {
  name: string;
  video: boolean;
  faces: number | null;
  corrected?: number;
  done: boolean;
  problem: string | null;
}

export interface Exemplar {
  class_id: number;
  probability: number;
  /** Of the square about the face box: 0 to 1. */
  points: Point[];
}

export interface Details {
  suggestions: { landmark: number; error_reduction: number }[];
  expected_error: number;
  entropy: number;
  /** As if so many were left, all alike. */
  effective_exemplars: number;
  exemplar_count: number;
  pose_map: string | null;
  pose_bins: number;
  pose_range: Point;
  exemplars: Exemplar[];
}

export interface Heatmap {
  landmark: number;
  rectangle: Rectangle;
  width: number;
  height: number;
  cells: string | null;
}

export interface Model {
  state: "ready" | "loading" | "failed";
  detail: string | null;
}
