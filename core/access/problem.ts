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

/** The body of a refusal. */
export function problemText({ status, title, detail, errors }: Problem): string {
  return `${JSON.stringify({ type: "about:blank", title, status, detail, ...(errors ? { errors } : {}) })}\n`;
}

export function problemResponse(problem: Problem, headers: Record<string, string> = {}): Response {
  return new Response(problemText(problem), { status: problem.status, headers: { "Content-Type": "application/problem+json", ...headers } });
}
