import t from 'tap'
import type { Api } from '../../src/cli/api.ts'
import { waitForEviction } from '../../src/cli/eviction.ts'
import { ApiError, type Failure } from '../../src/cli/failure.ts'
import { makeFakeClock } from '../fixtures/clock.ts'

const done = (version: number, asked: number, jobs: number) => ({
  version,
  steps: [{ kind: 'jobs_evicted', asked, jobs }],
})
const other = (version: number) => ({ version, steps: [{ kind: 'upstream_deleted', id: 'x' }] })
const common = { url: 'http://x', hasToken: false, unknownUnder: null }
const unreachable: Failure = { ...common, kind: 'unreachable', cause: 'ECONNRESET', wasSent: true }
const refused: Failure = {
  ...common,
  kind: 'refused',
  status: 401,
  retryAfterS: null,
  problem: { type: 'x', title: 'x', status: 401, code: 'unauthorized', detail: 'x' },
}

/** Each look at the ledger finds the next of these, and then the last one again. */
function setUp(...looks: readonly (readonly object[] | Failure)[]) {
  const clock = makeFakeClock()
  let asked = 0
  const api = {
    list: async () => {
      const look = looks[Math.min(asked, looks.length - 1)]!
      asked += 1
      if (Array.isArray(look)) return { items: look, next: null }
      throw new ApiError(look as Failure)
    },
  } as Pick<Api, 'list'>
  const wait = () =>
    waitForEviction(api, 7, {
      everyMs: 500,
      withinMs: 2000,
      now: clock.now,
      delay: async (ms) => clock.advance(ms),
    })
  return { wait, asked: () => asked }
}

t.test('it ends when the ledger tells that it is done', async (t) => {
  const { wait, asked } = setUp([other(7)], [other(8), other(7)], [done(9, 7, 12), other(8), other(7)])
  t.equal(await wait(), 12)
  t.equal(asked(), 3)
})

t.test('an eviction that was asked for later does this one too; an earlier one does not', async (t) => {
  t.equal(await setUp([done(9, 8, 5)]).wait(), 5)
  t.equal(await setUp([done(8, 6, 5)]).wait(), null)
  t.equal(await setUp([done(6, 7, 5)]).wait(), null, 'a row older than the change is none of its')
  t.equal(await setUp([done(9, 7, 0)]).wait(), 0, 'none had to go')
})

t.test('a moment without answer is waited out, a refusal is not', async (t) => {
  t.equal(await setUp(unreachable, [done(9, 7, 1)]).wait(), 1)
  await t.rejects(setUp(refused).wait(), { message: 'refused at http://x' })
})

t.test('it does not wait for ever', async (t) => {
  const { wait, asked } = setUp([other(7)])
  t.equal(await wait(), null)
  t.equal(asked(), 5)
})
