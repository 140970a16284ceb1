import t, { type Test } from 'tap'
import { admit } from '../../src/control/admit.ts'
import type { Probe, ProbeResult } from '../../src/control/probe.ts'
import { ProbeFailure } from '../../src/control/retry.ts'
import type { NewUpstream } from '../../src/store/records.ts'
import { serving, stepWorlds, type Steps } from '../fixtures/steps-under-test.ts'

const openSteps = await stepWorlds(t)
const good = (egressIp: string | null = null): ProbeResult => ({ ok: true, ms: 1, egressIp })
const bad: ProbeResult = { ok: false, ms: 1, problem: 'connection refused' }

/** Answers in this order; what is asked for beyond is a failure of the test. */
function scripted(...answers: (ProbeResult | Error)[]) {
  const asked: { id: string; signal: AbortSignal }[] = []
  const probe: Probe = async (upstream, signal) => {
    asked.push({ id: (upstream as { id?: string }).id ?? '', signal })
    const answer = answers[asked.length - 1] ?? new Error('one probe too many')
    if (answer instanceof Error) throw answer
    return answer
  }
  return { probe, asked }
}

async function setUp(t: Test, row: Partial<NewUpstream> = {}) {
  const steps = await openSteps(t)
  await steps.add('up-1', { ...serving, state: 'provisioning', ...row })
  return steps
}

async function admitOnce({ claim, hold }: Steps, probe: Probe | null, times = 2): Promise<void> {
  return admit(hold(await claim('up-1', { forMs: 0 })), { probe, good: times })
}

t.test('good probes let it run, at the egress IP that they have seen', async (t) => {
  const steps = await setUp(t, { attempts: 4, problem: 'probe: connection refused' })
  const { probe, asked } = scripted(good('198.51.100.1'), good('198.51.100.1'))
  await admitOnce(steps, probe)
  t.match(await steps.read('up-1'), {
    state: 'running',
    egressIp: '198.51.100.1',
    listedIp: null,
    attempts: 0,
    problem: null,
    rowVersion: 2,
  })
  t.same(
    asked.map(({ id }) => id),
    ['up-1', 'up-1'],
  )
  const { version } = await steps.fleet.head()
  t.match(await steps.read('up-1'), { stateVersion: version })
  t.match(await steps.records.store.ledger.read(version), { actor: 'control', reason: 'its probes are good' })
  t.equal(steps.told.changes, 1)
})

t.test('where probes cannot tell, what the provider said stands', async (t) => {
  const steps = await setUp(t)
  await admitOnce(steps, scripted(good(), good()).probe)
  t.match(await steps.read('up-1'), { state: 'running', egressIp: '203.0.113.1' })
})

t.test('one bad probe, and it does not run', async (t) => {
  for (const answers of [[bad], [good(), bad], [good(), good(), bad]]) {
    const steps = await setUp(t)
    const before = await steps.read('up-1')
    const { probe, asked } = scripted(...answers)
    await t.rejects(admitOnce(steps, probe, 3), new ProbeFailure('connection refused'))
    t.equal(asked.length, answers.length)
    t.strictSame({ ...(await steps.read('up-1')), claimFence: 0 }, before)
    t.equal(steps.told.changes, 0)
  }
})

t.test('as many good ones as are asked for', async (t) => {
  for (const times of [1, 2, 5]) {
    const steps = await setUp(t)
    const { probe, asked } = scripted(...Array.from({ length: times }, () => good()))
    await admitOnce(steps, probe, times)
    t.equal(asked.length, times)
    t.match(await steps.read('up-1'), { state: 'running' })
  }
})

t.test('without probes it runs at once, and the ledger says so', async (t) => {
  const steps = await setUp(t)
  await admitOnce(steps, null)
  t.match(await steps.read('up-1'), { state: 'running', egressIp: '203.0.113.1' })
  const { version } = await steps.fleet.head()
  t.match(await steps.records.store.ledger.read(version), { reason: 'probes are switched off' })
})

t.test('probes end with the claim', async (t) => {
  const steps = await setUp(t)
  const lost = new AbortController()
  const held = steps.hold(await steps.claim('up-1'), { signal: lost.signal })
  const probe: Probe = async (_, signal) => {
    lost.abort(new Error('the claim is lost'))
    signal.throwIfAborted()
    return good()
  }
  await t.rejects(admit(held, { probe, good: 2 }), { message: 'the claim is lost' })
  t.match(await steps.read('up-1'), { state: 'provisioning' })
})

t.test('what happened while it was probed counts more than its probes', async (t) => {
  const steps = await setUp(t)
  const { records, read } = steps
  const probe: Probe = async () => {
    const { rowVersion } = await read('up-1')
    const to = { host: '10.0.0.7' }
    if (rowVersion === 1)
      await records.store.fleet.change({
        author: { actor: 'control', reason: 'sync' },
        decide: () => ({ steps: [{ kind: 'upstream_changed', id: 'up-1', from: {}, to }], answer: null }),
      })
    return good()
  }
  await t.rejects(admitOnce(steps, probe), { code: 'conflict' })
  t.match(await read('up-1'), { state: 'provisioning', host: '10.0.0.7' })
  await admitOnce(steps, probe)
  t.match(await read('up-1'), { state: 'running' })
})
