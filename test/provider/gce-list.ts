// Lists that are long, and lists that are not whole: what is missing from one that says so is never taken for gone.

import t from 'tap'
import { startGce, zones } from '../fixtures/gce-under-test.ts'
import { createMany, createOne, idsOf, rejectsWith } from '../fixtures/provider-contract.ts'

const ours = { 'lanekeeper-fleet': 'main' }

t.test('all of 501 machines are listed, over two pages', async (t) => {
  const { engine, provider, callsOf } = await startGce(t)
  for (let index = 0; index < 501; index += 1) {
    await engine.add({ name: `vm-${index}`, zone: zones[0]!, labels: ours })
  }
  const { instances, problems } = await provider.list()
  t.equal(new Set(idsOf(instances)).size, 501)
  t.strictSame(problems, [])
  t.strictSame(
    callsOf('list').map(({ zone, query }) => [zone, query.get('pageToken'), query.get('maxResults')]),
    [
      [zones[0], null, '500'],
      [zones[1], null, '500'],
      [zones[0], 'page-at-500', '500'],
    ],
  )
})

t.test('all zones are listed, empty ones too', async (t) => {
  const { engine, provider } = await startGce(t, { engine: { pageSize: 2 } })
  t.strictSame(await provider.list(), { instances: [], problems: [] })
  const made = await createMany(provider, 9)
  const { instances, problems } = await provider.list()
  t.strictSame([idsOf(instances), problems], [idsOf(made), []])
  engine.damageLists('empty', { zone: zones[1]! })
  t.strictSame((await provider.list()).problems.length, 0, 'Google may say of an empty zone that it is empty')
})

t.test('a list that is not whole says so, and why, and gives what it has', async (t) => {
  const { engine, provider } = await startGce(t, { engine: { pageSize: 2 } })
  await createMany(provider, 8)
  const cases = [
    ['unreachable', /europe-west1-b.*UNREACHABLE/, 4],
    ['cut', /europe-west1-b.*UNREACHABLE/, 2],
    ['repeat', /europe-west1-b: a page leads back/, null],
  ] as const
  for (const [damage, problem, listed] of cases) {
    engine.damageLists(damage, { zone: zones[0]! })
    const { instances, problems } = await provider.list()
    t.match(problems, [problem], damage)
    if (listed !== null) t.equal(instances.filter(({ zone }) => zone === zones[0]).length, listed, damage)
    t.equal(instances.filter(({ zone }) => zone === zones[1]).length, 4, damage)
    t.strictSame((await provider.list()).problems, [], 'and the next one is whole')
  }
})

t.test('a zone that does not answer is a problem, and the other zones are listed', async (t) => {
  const { engine, provider, callsOf } = await startGce(t)
  const made = await createMany(provider, 4)
  engine.refuse('list', { status: 503, reason: 'backendError' }, { zone: zones[1]!, times: 5 })
  const { instances, problems } = await provider.list()
  t.strictSame(idsOf(instances), idsOf(made.filter(({ zone }) => zone === zones[0])))
  t.match(problems, [/europe-west1-c: Compute Engine: list europe-west1-c: 503 backendError/])
  t.equal(callsOf('list').length, 6, 'five tries in one zone')
})

t.test('a zone that answers after a while is no problem', async (t) => {
  const { engine, provider, waits } = await startGce(t)
  const made = await createOne(provider)
  waits.length = 0
  engine.refuse('list', { status: 503, reason: 'backendError' }, { zone: zones[0]!, times: 4 })
  t.strictSame(await provider.list(), { instances: [made], problems: [] })
  t.strictSame(waits, [500, 1000, 2000, 4000])
})

t.test('where no zone answers there is no list', async (t) => {
  const { engine, provider } = await startGce(t)
  engine.refuse('list', { status: 403, reason: 'forbidden' }, { times: 2 })
  await rejectsWith(t, provider.list(), 'refused', /403 forbidden/)
})

t.test('a machine that says it is another one is left out, and told', async (t) => {
  const { engine, provider } = await startGce(t)
  const made = await createOne(provider)
  await engine.add({ name: 'a-copy', zone: zones[0]!, labels: { ...ours, 'lanekeeper-upstream': made.id } })
  const { instances, problems } = await provider.list()
  t.strictSame(instances, [made])
  t.match(problems, [/europe-west1-b: a-copy says that it is lanekeeper-main-\w+.*lanekeeper-upstream away/])
})

t.test('a list from the past is what it is: reading tells', async (t) => {
  const { engine, provider } = await startGce(t)
  const [gone, kept] = await createMany(provider, 2)
  engine.freezeLists(4)
  await engine.remove(gone!.name)
  const late = await createOne(provider)
  t.strictSame(idsOf((await provider.list()).instances), idsOf([gone!, kept!]))
  t.equal(await provider.read(gone!), null)
  t.strictSame(await provider.read(late), late)
})
