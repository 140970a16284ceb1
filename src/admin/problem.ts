// RFC 9457 problem documents of the admin API. Pure.

export type Problem = {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail: string
}

const titles: { readonly [code: string]: string } = {
  unauthorized: 'The token is missing or wrong',
  not_found: 'There is no such thing',
  bad_request: 'The request cannot be understood',
  store_unavailable: 'The store of pins does not answer',
  internal_error: 'The server failed',
}

export function problem(status: number, code: string, detail: string): Problem {
  return { type: `urn:lanekeeper:error:${code}`, title: titles[code] ?? code, status, code, detail }
}
