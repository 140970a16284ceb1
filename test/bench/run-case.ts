import t from 'tap'
import type { BenchCase } from '../../bench/fixtures/case.ts'
import { runCase } from '../../bench/fixtures/run-case.ts'

const pace = { rounds: 1, seconds: 0, warmUpSeconds: 0 }
const figures = [{ name: 'a: b', unit: 'us', better: 'less' as const, values: [1] }]

function bench(run: BenchCase['run']): BenchCase {
  return { name: 'one', question: 'What?', settings: { inFlight: 4 }, run }
}

t.test('a result holds what the figures depend on', async (t) => {
  const never = new AbortController().signal
  t.same(
    await runCase(
      bench(async () => figures),
      pace,
      never,
    ),
    { name: 'one', settings: { inFlight: 4, rounds: 1, seconds: 0 }, figures },
  )
})

t.test('what a case started is ended, the last first, also where it fails', async (t) => {
  for (const failure of [null, new Error('answered 503')]) {
    const ended: string[] = []
    const run = runCase(
      bench(async ({ scope }) => {
        scope.defer(async () => void ended.push('redis'))
        scope.defer(() => ended.push('gateway'))
        if (failure) throw failure
        return figures
      }),
      pace,
      new AbortController().signal,
    )
    if (failure) await t.rejects(run, failure)
    else await run
    t.same(ended, ['gateway', 'redis'])
  }
})

t.test('interrupted in the middle of a start, it ends what that start brings', async (t) => {
  const stop = new AbortController()
  const started = Promise.withResolvers<void>()
  const ended: string[] = []
  const run = runCase(
    bench(async ({ scope }) => {
      scope.defer(() => ended.push('redis'))
      await started.promise
      scope.defer(async () => void ended.push('gateway'))
      return figures
    }),
    pace,
    stop.signal,
  )
  stop.abort(new Error('interrupted'))
  setImmediate(() => started.resolve())
  await t.rejects(run, { message: 'interrupted' })
  t.same(ended, ['redis', 'gateway'])
})
