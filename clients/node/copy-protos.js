// The protos of the contract, beside what was compiled: the client reads them when it starts.
const { cpSync } = require("node:fs");
const { join } = require("node:path");

cpSync(join(__dirname, "../../protos/exalign/v1"), join(__dirname, "dist/protos/exalign/v1"), {
  recursive: true,
  filter: (path) => !/\.(py|pyi)$|__pycache__/.test(path),
});
