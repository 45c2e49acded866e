// One script and one style sheet, with fixed names: the package holds what is built, and a diff of it is small.
import { defineConfig } from "vite";

export default defineConfig({
  base: "/",
  build: {
    outDir: "../exalign_annotator/static",
    emptyOutDir: true,
    modulePreload: false,
    assetsInlineLimit: 0,
    rollupOptions: {
      output: {
        entryFileNames: "assets/page.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8765" } },
});
