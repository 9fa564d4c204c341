// How a request is refused: application/problem+json (RFC 9457), with the rows at fault where there are any.
// Promises: says which field, what is wrong and what to do; never repeats a number.

export interface RowFault {
  readonly line: number;
  readonly field: string;
  readonly reason: string;
}

export interface Problem {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly errors?: readonly RowFault[];
}

export function problemResponse({ status, title, detail, errors }: Problem, headers: Record<string, string> = {}): Response {
  const body = { type: "about:blank", title, status, detail, ...(errors ? { errors } : {}) };
  return new Response(`${JSON.stringify(body)}\n`, { status, headers: { "Content-Type": "application/problem+json", ...headers } });
}

/**
 * What is wrong with the length that a request says its body has, for servers that read no body without a bound; undefined: nothing.
 * A body in chunks doesn't say one.
 */
export function lengthProblem(request: Request, bytesMax: number): Problem | undefined {
  const length = request.headers.get("content-length");
  if (length === null) return { status: 411, title: "Length required", detail: "a body in chunks is not read here: send it with the header Content-Length, its length in bytes" };
  return Number(length) > bytesMax ? { status: 413, title: "Body too large", detail: `a body here has at most ${bytesMax} bytes: send less at once` } : undefined;
}
