// Names to addresses, kept for as long as DNS says. Requests for the same name share one look-up; a failure
// is never kept, so one lost packet cannot poison a name. What is checked is what is dialled: nobody asks again between.

import { isIP } from 'node:net'
import { startDeadline } from '../deadline.ts'
import { GatewayError } from '../errors.ts'
import { isOwnWant, noSocketLeft } from './own-want.ts'

export type Address = { readonly address: string; readonly ttlMs: number }
/** @throws an error whose `code` is one of node:dns; none found is an empty list or ENOTFOUND/ENODATA */
export type Lookup = (host: string, signal: AbortSignal) => Promise<readonly Address[]>
export type Resolver = ReturnType<typeof makeResolver>

const maxNames = 10_000
/** At one time. Each may hold a socket for as long as a slow name server takes. */
export const maxAsking = 1000
/** Of these, those that one job began. */
const maxAskingOfJob = 100
const maxAddresses = 16
/** TTLs of 0 and of weeks are both seen in the wild; between these they are obeyed. */
const ttlBounds = { minMs: 1000, maxMs: 300_000 }

export function makeResolver(parts: {
  readonly lookup: Lookup
  readonly timeoutMs: number
  /** Monotonic milliseconds. */
  readonly now: () => number
}) {
  const { lookup, timeoutMs, now } = parts
  const kept = new Map<string, { readonly addresses: readonly string[]; readonly untilMs: number }>()
  const asking = new Map<string, LookUp>()

  async function ask(host: string, limit: AbortController): Promise<readonly string[]> {
    const found = (await within(host, { timeoutMs, limit, lookup })).slice(0, maxAddresses)
    if (found.length === 0) throw notFound(host, 'ENODATA')
    const ttlMs = Math.min(...found.map((address) => address.ttlMs))
    const addresses = found.map(({ address }) => address)
    keep(host, addresses, Math.min(Math.max(ttlMs, ttlBounds.minMs), ttlBounds.maxMs))
    return addresses
  }

  /** Nobody's leaving ends it, since the next one may use it; but where all places are taken, who is waited for stays. */
  function askOnce(host: string, jobId: string | null): LookUp {
    if (jobId !== null && begunBy(jobId) >= maxAskingOfJob)
      throw new GatewayError('rate_limited', {
        detail: `This job has ${maxAskingOfJob} names being resolved already. Try again.`,
      })
    if (asking.size >= maxAsking) leaveOne()
    const limit = new AbortController()
    const answer = ask(host, limit).finally(() => {
      if (asking.get(host) === lookUp) asking.delete(host)
    })
    const lookUp: LookUp = { jobId, answer, waiting: 0, limit }
    asking.set(host, lookUp)
    return lookUp
  }

  function begunBy(jobId: string): number {
    let count = 0
    for (const lookUp of asking.values()) if (lookUp.jobId === jobId) count += 1
    return count
  }

  function leaveOne(): void {
    for (const [host, { waiting, limit }] of asking) {
      if (waiting > 0) continue
      asking.delete(host)
      return limit.abort()
    }
    throw new GatewayError('overloaded', { detail: 'Too many names are being resolved now. Try again.' })
  }

  function keep(host: string, addresses: readonly string[], ttlMs: number): void {
    kept.delete(host)
    const oldest = kept.size >= maxNames ? kept.keys().next().value : undefined
    if (oldest !== undefined) kept.delete(oldest)
    kept.set(host, { addresses, untilMs: now() + ttlMs })
  }

  return {
    /**
     * @returns address literals, at least one, best first; the host itself where it is one
     * @throws GatewayError target_failed, target_timeout, rate_limited, overloaded
     */
    async resolve(host: string, { jobId, signal }: Asker = nobody): Promise<readonly string[]> {
      if (isIP(host) !== 0) return [host]
      const known = kept.get(host)
      if (known && now() < known.untilMs) return known.addresses
      const lookUp = asking.get(host) ?? askOnce(host, jobId)
      if (signal?.aborted) return lookUp.answer
      lookUp.waiting += 1
      signal?.addEventListener('abort', () => (lookUp.waiting -= 1), { once: true })
      return lookUp.answer
    },
  }
}

type Asker = {
  readonly jobId: string | null
  /** Aborts when it has left. */
  readonly signal?: AbortSignal
}
const nobody: Asker = { jobId: null }

type LookUp = {
  /** Who began it. */
  readonly jobId: string | null
  readonly answer: Promise<readonly string[]>
  waiting: number
  /** Ends it. */
  readonly limit: AbortController
}

type Within = { readonly timeoutMs: number; readonly limit: AbortController; readonly lookup: Lookup }

async function within(host: string, { timeoutMs, limit, lookup }: Within): Promise<readonly Address[]> {
  // Not AbortSignal.timeout, which would keep all of a finished look-up for the rest of its time.
  const cancel = startDeadline(timeoutMs, () => limit.abort(), { holds: false })
  const timedOut = new Promise<never>((_, reject) => {
    limit.signal.addEventListener('abort', () => reject(tooSlow(host, timeoutMs)), { once: true })
  })
  try {
    return await Promise.race([lookup(host, limit.signal), timedOut])
  } catch (error) {
    if (error instanceof GatewayError) throw error
    throw translate(host, timeoutMs, error as NodeJS.ErrnoException)
  } finally {
    cancel()
  }
}

function translate(host: string, timeoutMs: number, error: NodeJS.ErrnoException): GatewayError {
  if (isOwnWant(error)) return noSocketLeft(error)
  if (error.code === 'ETIMEOUT' || error.code === 'ECANCELLED') return tooSlow(host, timeoutMs, error)
  return notFound(host, error.code ?? 'the look-up failed', error)
}

function tooSlow(host: string, timeoutMs: number, cause?: unknown): GatewayError {
  return new GatewayError(
    'target_timeout',
    { detail: `The name ${host} was not resolved within ${timeoutMs} ms.` },
    { cause },
  )
}

/** What c-ares makes of response codes; its other codes are no answers of DNS. */
const rcodes: ReadonlyMap<string, string> = new Map([
  ['ENODATA', 'NOERROR'],
  ['ENOTFOUND', 'NXDOMAIN'],
  ['ESERVFAIL', 'SERVFAIL'],
  ['EREFUSED', 'REFUSED'],
  ['EFORMERR', 'FORMERR'],
  ['ENOTIMP', 'NOTIMP'],
])

function notFound(host: string, code: string, cause?: unknown): GatewayError {
  const fields = { detail: `The name ${host} does not resolve (${code}).`, token: 'dns_error' }
  const rcode = rcodes.get(code)
  return new GatewayError('target_failed', rcode === undefined ? fields : { ...fields, rcode }, { cause })
}
