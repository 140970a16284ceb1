// What the calling job may ask of the gateway itself, on the gateway's port, since jobs reach no other (design 11):
// GET /v1/job (which upstream, which IP), DELETE /v1/job (release), POST /v1/job/report.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { startDeadline } from '../deadline.ts'
import { GatewayError } from '../errors.ts'
import type { Events } from '../events.ts'
import { presentJob } from '../routing/present-job.ts'
import type { FleetView } from '../routing/fleet-view.ts'
import type { KnownPins } from '../routing/known-pins.ts'
import type { Pinning } from '../routing/pin.ts'
import type { Reports } from '../store/store.ts'
import type { Identity } from '../routing/job.ts'
import { reportOutcomes, type Job, type ReportOutcome } from '../types.ts'
import { expectsContinue } from './plain-head.ts'
import { answerOptions, refuseResponse } from './refuse.ts'
import type { RequestStory } from './request.ts'

const maxReportBytes = 4096

type Parts = {
  readonly story: Pick<RequestStory, 'begin' | 'refused'>
  /** Both throw GatewayError for a head that must not go on. */
  readonly checkHead: (req: IncomingMessage) => void
  readonly readIdentity: (req: IncomingMessage) => Identity
  readonly pinning: Pinning
  readonly known: KnownPins
  readonly fleet: FleetView
  readonly reports: Reports
  readonly events: Events
  /** A UUID, never the same again. */
  readonly newId: () => string
  /** For all of a report. */
  readonly bodyTimeoutMs: number
}

export function makeJobApi({
  story,
  checkHead,
  readIdentity,
  pinning,
  known,
  fleet,
  reports,
  events,
  newId,
  bodyTimeoutMs,
}: Parts) {
  const routes: {
    readonly [route: string]: (req: IncomingMessage, res: ServerResponse, job: Job) => Promise<void>
  } = {
    async 'GET /v1/job'(_, res, job) {
      const pin = await pinning.read(job.id)
      if (!pin)
        throw new GatewayError('not_found', {
          detail: 'This job is not pinned: it has made no request yet, or it is over.',
          job: job.id,
        })
      sendJson(res, 200, presentJob(pin, fleet.upstream(pin.upstreamId), known.get(job.id)?.tunnels ?? 0))
    },

    async 'DELETE /v1/job'(_, res, job) {
      await pinning.release(job.id, 'job')
      res.writeHead(204).end()
    },

    async 'POST /v1/job/report'(req, res, job) {
      if (expectsContinue(req)) res.writeContinue()
      const outcome = readOutcome(await within(bodyTimeoutMs, readBody(req)))
      const pin = await pinning.read(job.id)
      const report = { job: pin?.job ?? job, upstream: pin?.upstreamId ?? null, outcome }
      if (!(await reports.add({ id: newId(), ...report }))) throw tooManyWait()
      events.emit('job_reported', report)
      sendJson(res, 202, { accepted: true })
    },
  }

  return async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const request = story.begin('http')
    const gone = new AbortController()
    res.once('close', () => gone.abort())
    try {
      checkHead(req)
      // It tells nothing that a refusal would not tell, so nobody has to say who is asking.
      if (req.method === 'OPTIONS' && req.url === '*') return answerOptions(req, res)
      const route = routes[`${req.method} ${req.url?.split('?')[0]}`]
      if (!route) throw unknownRoute()
      const { job } = Object.assign(request, readIdentity(req))
      await route(req, res, job)
    } catch (error) {
      const failure = story.refused(request, error, gone.signal)
      if (failure) refuseResponse(req, res, failure, request.requestId)
    }
  }
}

function tooManyWait(): GatewayError {
  return new GatewayError('rate_limited', {
    detail: 'Too many reports wait to be written down by a control process; try again later.',
  })
}

function unknownRoute(): GatewayError {
  return new GatewayError('bad_request', {
    detail:
      'This is a forward proxy: send CONNECT host:port or an absolute http:// URL. For itself it answers only ' +
      'GET /v1/job, DELETE /v1/job and POST /v1/job/report.',
  })
}

/** Within the time: nothing else ends a request whose body never comes. */
async function within(timeoutMs: number, body: Promise<string>): Promise<string> {
  // Who was told so is cut off then, and its body breaks off.
  body.catch(() => undefined)
  let cancel = () => {}
  const tooSlow = new Promise<never>((_, reject) => {
    cancel = startDeadline(timeoutMs, () => reject(bodyTooSlow(timeoutMs)))
  })
  try {
    return await Promise.race([body, tooSlow])
  } finally {
    cancel()
  }
}

function bodyTooSlow(timeoutMs: number): GatewayError {
  const detail = `The report did not arrive within ${timeoutMs} ms.`
  return new GatewayError('bad_request', { detail, reason: 'head_too_slow' })
}

async function readBody(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  // What is too long is left unread, not cut off: its sender is still to read why.
  for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxReportBytes)
      throw new GatewayError('bad_request', { detail: `A report is at most ${maxReportBytes} bytes long.` })
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function readOutcome(body: string): ReportOutcome {
  let found: unknown
  try {
    found = (JSON.parse(body) as { outcome?: unknown } | null)?.outcome
  } catch {
    found = undefined
  }
  const outcome = reportOutcomes.find((known) => known === found)
  if (outcome) return outcome
  throw new GatewayError('bad_request', {
    detail: `A report is JSON such as {"outcome": "blocked"}; outcomes are ${reportOutcomes.join(', ')}.`,
  })
}

function sendJson(res: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body)
  res
    .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
    .end(text)
}
