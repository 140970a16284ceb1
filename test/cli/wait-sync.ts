import t from 'tap'
import type { Api } from '../../src/cli/api.ts'
import { ApiError, type Failure } from '../../src/cli/failure.ts'
import { waitForSync } from '../../src/cli/wait-sync.ts'
import { makeQuickClock } from '../fixtures/command-line.ts'

const notFound = (code: string): Failure => {
  const problem = { type: 'x', title: 'x', status: 404, code, detail: 'x' }
  const common = { url: 'http://x', hasToken: false, unknownUnder: null }
  return { ...common, kind: 'refused', status: 404, retryAfterS: null, problem }
}

function setUp(...passes: readonly (string | Failure)[]) {
  let asked = 0
  const api = {
    get: async () => {
      const pass = passes[Math.min(asked, passes.length - 1)]!
      asked += 1
      if (typeof pass === 'string') return { pass, outcome: 'done' }
      throw new ApiError(pass)
    },
  } as unknown as Pick<Api, 'get'>
  const wait = (withinMs: number | null = null) =>
    waitForSync(api, 'mine', { show: () => {}, clock: makeQuickClock(), withinMs })
  return { wait, asked: () => asked }
}

t.test('it ends with the report of its own pass', async (t) => {
  const { wait, asked } = setUp('before', 'before', 'another', 'mine')
  t.strictSame(await wait(), { kind: 'reported', report: { pass: 'mine', outcome: 'done' } })
  t.equal(asked(), 4)
})

t.test('no report yet is no refusal; others are', async (t) => {
  t.match(await setUp(notFound('not_found'), 'mine').wait(), { kind: 'reported' })
  await t.rejects(setUp(notFound('unknown_path')).wait(), ApiError)
})

t.test('a report that was written over meanwhile is not waited for without end', async (t) => {
  const { wait } = setUp('1', '2', '3', '4', '5', '5', '6', 'mine')
  t.strictSame(await wait(), { kind: 'missed' })
  t.equal(await setUp('1', '2').wait(60_000), null, 'nor for longer than is asked')
})
