import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    pool: "threads", // the default pool dies on Bun
    include: ["core/**/*.test.ts", "ops/**/*.test.ts", "bench/**/*.test.ts", "test/**/*.test.ts"],
    deps: { interopDefault: false }, // http-message-signatures has a default export that would hide its named ones
    globalSetup: ["test/setup.ts"],
    reporters: ["default", "./test/reporter.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
