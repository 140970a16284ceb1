// A tiny run from end to end, and what is kept of it.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir, hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { makePinsCase } from '../../bench/cases/pins.ts'
import { describeMachine, findCommit, findVersions } from '../../bench/fixtures/machine.ts'
import { differences, figureTable } from '../../bench/fixtures/report.ts'
import { readResult, resultName, saveResult, type Result } from '../../bench/fixtures/result.ts'
import { runCase } from '../../bench/fixtures/run-case.ts'

const tinyPins = makePinsCase({
  stores: 'memory',
  fewUpstreams: 2,
  manyUpstreams: 5,
  lanes: 2,
  inFlight: 4,
  pinsPerRound: 50,
})
const pace = { rounds: 3, seconds: 60, warmUpSeconds: 0 }

async function folderFor(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lanekeeper-bench-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function tinyResult(): Promise<Result> {
  const never = new AbortController().signal
  return {
    format: 1,
    at: '2026-01-02T03:04:05.678Z',
    ...findCommit(),
    machine: describeMachine(),
    versions: findVersions(),
    cases: [await runCase(tinyPins, pace, never)],
  }
}

t.test('a result is kept with machine, commit and versions, and read again', async (t) => {
  const result = await tinyResult()
  const file = await saveResult(result, 'result.json', join(await folderFor(t), 'not yet there'))
  const read = await readResult(file)
  const text = await readFile(file, 'utf8')

  t.match(text, /^ +"values": \[[\d.]+, [\d.]+, [\d.]+\]$/m, 'values stand on one line')
  t.same(Object.keys(read), ['format', 'at', 'commit', 'dirty', 'machine', 'versions', 'cases'])
  t.same(Object.keys(read.machine), ['cpu', 'cores', 'memoryGb', 'os'])
  t.same(Object.keys(read.versions), ['node', 'redis', 'tinyproxy', 'lanekeeper'])
  t.equal(read.versions.node, process.versions.node)
  t.match(read.versions, { redis: /^\d+\.\d+/, tinyproxy: /^\d+\.\d+/, lanekeeper: /^\d+\.\d+\.\d+$/ })
  const [pins] = read.cases
  t.same(pins!.settings, { ...tinyPins.settings, rounds: 3, seconds: 60 })
  t.same(
    pins!.figures.map(({ name, unit, better }) => [name, unit, better]),
    ['memory, 2 upstreams', 'memory, 5 upstreams'].flatMap((store) => [
      [`${store}: pins`, '/s', 'more'],
      [`${store}: pin p50`, 'us', 'less'],
      [`${store}: pin p99`, 'us', 'less'],
      [`${store}: CPU of this process per pin`, 'us', 'less'],
    ]),
  )
  for (const { name, values } of pins!.figures) {
    t.equal(values.length, 3, `${name}: one value for each round`)
    t.ok(
      values.every((value) => Number.isFinite(value) && value >= 0),
      name,
    )
  }
  for (const secret of [hostname(), homedir(), process.cwd()])
    t.notOk(text.includes(secret), 'nothing tells whose machine it was')
})

t.test('numbers are kept with the digits that a measurement has', async (t) => {
  const result = await tinyResult()
  const values = [12_345.678, 0.001_234_56, 3, 1_234_567]
  const figures = [{ name: 'a', unit: 'us', better: 'less' as const, values }]
  const cases = [{ name: 'one', settings: {}, figures }]
  const file = await saveResult({ ...result, cases }, 'result.json', await folderFor(t))
  t.same((await readResult(file)).cases[0]!.figures[0]!.values, [12_350, 0.001_235, 3, 1_234_567])
})

t.test('what is no result is refused in words', async (t) => {
  const file = join(await folderFor(t), 'old.json')
  await t.rejects(readResult(file), { message: /old\.json cannot be read \(ENOENT\)/ })
  for (const text of ['', 'null', '{}', '{"format":2}', '[1]']) {
    await writeFile(file, text)
    await t.rejects(readResult(file), { message: /old\.json is no saved result/ }, text)
  }
})

t.test('a file is named by what was run', async (t) => {
  const one = { name: 'tunnels', settings: {}, figures: [] }
  const result = { ...(await tinyResult()), commit: 'abc1234', dirty: false, cases: [one] }
  const cases: [string, Result, { all?: boolean; quick?: boolean }?][] = [
    ['tunnels-abc1234.json', result],
    ['tunnels+pins-abc1234.json', { ...result, cases: [one, { ...one, name: 'pins' }] }],
    ['all-abc1234.json', result, { all: true }],
    ['tunnels-abc1234-dirty-quick.json', { ...result, dirty: true }, { quick: true }],
    ['tunnels-no-commit.json', { ...result, commit: null }],
  ]
  for (const [name, of, how] of cases) t.equal(resultName(of, how), name)
})

t.test('what else differs between two results is told', async (t) => {
  const before = await tinyResult()
  const quiet = { ...before, dirty: false }
  t.same(differences(quiet, quiet), [])
  const [pins] = before.cases
  const after = {
    ...quiet,
    machine: { ...before.machine, cores: 99 },
    versions: { ...before.versions, redis: null },
    cases: [
      { ...pins!, settings: { ...pins!.settings, inFlight: 5 } },
      { ...pins!, name: 'new one' },
    ],
  }
  t.same(differences(quiet, after), [
    `machine, cores: ${before.machine.cores} -> 99`,
    `versions, redis: ${before.versions.redis} -> none`,
    'pins, inFlight: 4 -> 5',
  ])
  t.same(differences(quiet, { ...quiet, dirty: true }), ['measured with changes that were not committed'])
})

t.test('a table shows the middle and both ends', async (t) => {
  const values = [1234.5, 1300, 1200]
  t.equal(
    figureTable([
      { name: 'gateway: tunnels', unit: '/s', better: 'more', values },
      { name: 'gateway: set-up p50', unit: 'us', better: 'less', values: [0.12345, 12.345] },
    ]),
    [
      '  figure               unit  median     min..max',
      '  gateway: tunnels     /s      1235   1200..1300',
      '  gateway: set-up p50  us      6.23  0.123..12.3',
    ].join('\n'),
  )
})
