import { defineConfig } from "vite";

// Two pages: the console for people who work in the store, and the shopper's phone. Nothing is fetched from elsewhere,
// nothing is inlined: the server's content security policy allows its own files only.
export default defineConfig({
  base: "./",
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: ["index.html", "me.html"],
      // Names without sums: the server compares contents (ETag), and what is committed changes in place.
      output: { entryFileNames: "assets/[name].js", chunkFileNames: "assets/[name].js", assetFileNames: "assets/[name][extname]" },
    },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8480" } },
});
