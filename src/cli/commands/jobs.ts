// lanekeeper jobs ...: where a job is pinned, and letting it go.

import { command } from '../command.ts'
import { argument, id, oneOf, option, required, wholeNumber } from '../flags.ts'
import type { Report } from '../shapes.ts'
import { cell, record } from '../table.ts'
import { apiFlags, author, changeFlags, tell, tellList, withApi, type ListView } from '../with-api.ts'

const args = { id: argument('the id of the job', id) }
const outcomes = ['ok', 'blocked', 'captcha', 'rate_limited'] as const

const reportsView: ListView<Report> = {
  noun: 'report',
  columns: [
    { title: 'AT', of: ({ at }) => at },
    { title: 'OUTCOME', of: ({ outcome }) => outcome },
    { title: 'UPSTREAM', of: ({ upstream }) => upstream },
    { title: 'TYPE', of: ({ type }) => type },
    { title: 'INSTITUTION', of: ({ institution }) => institution },
    { title: 'ACTOR', of: ({ actor }) => actor },
  ],
}

const show = command({
  name: 'jobs show',
  does: 'show where a job is pinned, and until when',
  args,
  flags: apiFlags,
  examples: ['lanekeeper jobs show payment-42'],
  run: (call) =>
    withApi(call, async (api) => {
      const job = await api.get(pathOf(call.args.id), 'id')
      return tell(call, job, () => record({ ...job }))
    }),
})

const release = command({
  name: 'jobs release',
  does: 'end the pin of a job: the same id is then a new job, maybe on another upstream',
  about: ['Works while PostgreSQL is away, too.'],
  args,
  flags: changeFlags,
  examples: ['lanekeeper jobs release payment-42'],
  run: (call) =>
    withApi(call, async (api) => {
      const job = await api.change<{ upstream?: { id?: string } }>({
        method: 'DELETE',
        path: pathOf(call.args.id),
        knownBy: 'id',
        mayGoWithoutKey: true,
        ...author(call.flags),
      })
      const from = job.upstream?.id === undefined ? '' : ` from upstream ${cell(job.upstream.id)}`
      return tell(call, job, () => `Job ${cell(call.args.id)} is released${from}.`)
    }),
})

const report = command({
  name: 'jobs report',
  does: 'say how a job fared with its upstream',
  args,
  flags: {
    outcome: required(outcomes.join('|'), 'how it fared', oneOf(...outcomes)),
    ...changeFlags,
  },
  examples: ['lanekeeper jobs report payment-42 --outcome blocked'],
  run: (call) =>
    withApi(call, async (api) => {
      const accepted = await api.change({
        method: 'POST',
        path: `${pathOf(call.args.id)}/report`,
        knownBy: 'accepted',
        body: { outcome: call.flags.outcome },
        ...author(call.flags),
      })
      return tell(call, accepted, () => `Reported: job ${cell(call.args.id)}, ${call.flags.outcome}.`)
    }),
})

const reports = command({
  name: 'jobs reports',
  does: 'list what was reported of a job, newest first',
  args,
  flags: { limit: option('n', 'so many rows at most; else 1000', wholeNumber(1, 1000)), ...apiFlags },
  examples: ['lanekeeper jobs reports payment-42 --limit 5'],
  run: (call) =>
    withApi(call, async (api) => {
      const path = `${pathOf(call.args.id)}/reports`
      return tellList(call, await api.list<Report>(path, {}, call.flags.limit ?? 1000), reportsView)
    }),
})

export const jobCommands = [show, release, report, reports]

function pathOf(id: string): string {
  return `/v1/jobs/${encodeURIComponent(id)}`
}
