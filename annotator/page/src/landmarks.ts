// The iBUG layout of 68 landmarks. "Right" and "left" are the subject's own.

export const COUNT = 68;

const series = (name: string, from: number, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${name} ${i + from}`);

export const NAMES: readonly string[] = [
  ...series("jaw", 1, 17),
  ...series("right brow", 1, 5),
  ...series("left brow", 1, 5),
  ...series("nose bridge", 1, 3),
  "nose tip",
  ...series("nose base", 1, 5),
  ...series("right eye", 1, 6),
  ...series("left eye", 1, 6),
  ...series("outer lip", 1, 12),
  ...series("inner lip", 1, 8),
].map((name, n) => PLAIN(n) ?? name);

/** Landmarks that people have a word for. */
function PLAIN(n: number): string | undefined {
  const words: Record<number, string> = {
    8: "chin",
    36: "right eye, outer corner",
    39: "right eye, inner corner",
    42: "left eye, inner corner",
    45: "left eye, outer corner",
    48: "right mouth corner",
    54: "left mouth corner",
    51: "upper lip, middle",
    57: "lower lip, middle",
  };
  return words[n];
}

const run = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** Lines that join landmarks, and whether each is closed. */
export const CONTOURS: readonly { of: number[]; closed: boolean }[] = [
  { of: run(0, 16), closed: false },
  { of: run(17, 21), closed: false },
  { of: run(22, 26), closed: false },
  { of: run(27, 30), closed: false },
  { of: run(31, 35), closed: false },
  { of: run(36, 41), closed: true },
  { of: run(42, 47), closed: true },
  { of: run(48, 59), closed: true },
  { of: run(60, 67), closed: true },
];

/** A line through landmarks, as an SVG path. */
export function contourPath(points: readonly (readonly [number, number])[], map = (p: readonly [number, number]) => p): string {
  return CONTOURS.map(({ of, closed }) => {
    const at = of.map((n) => points[n]).filter((p) => p !== undefined);
    return "M" + at.map((p) => map(p).map((v) => v.toFixed(2)).join(" ")).join("L") + (closed ? "Z" : "");
  }).join("");
}
