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
