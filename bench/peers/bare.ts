// The bare handler that scans are measured against: the same server, which reads the same body and sends as many constant bytes. `bun bench/peers/bare.ts PORT`

const ANSWER = `${"x".repeat(383)}\n`;
const HEADERS = { "Content-Type": "application/json", "Cache-Control": "no-store" };

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2] ?? 0),
  routes: {
    "/v1/scan": async (request) => {
      if (request.headers.get("content-length") !== null) await request.text();
      return new Response(ANSWER, { headers: HEADERS });
    },
  },
});
console.log(`ready ${server.port}`);
