import t from 'tap'
import { syncInWords } from '../../src/cli/sync-words.ts'

const report = {
  pass: 'p-1',
  holder: 'control-1',
  startedAt: '2026-01-01T00:00:00.000Z',
  endedAt: '2026-01-01T00:00:02.500Z',
  outcome: 'done',
  problems: [],
  listed: 4,
  recorded: 1,
  corrected: [],
  left: [],
}

t.test('a report in words', async (t) => {
  t.equal(
    syncInWords(report),
    [
      'Sync p-1 is done: by control-1 at 2026-01-01T00:00:02.500Z, in 2.5 s.',
      '4 machines listed, 1 upstream recorded; 0 corrected, 0 left alone.',
    ].join('\n'),
  )
  const corrected = [{ id: 'up-1', action: 'deleted', detail: 'gone\u001b[2J from 2 lists' }]
  const left = [{ id: 'up-2', detail: 'changed meanwhile' }]
  t.equal(
    syncInWords({ ...report, corrected, left })
      .split('\n')
      .slice(1)
      .join('\n'),
    [
      '4 machines listed, 1 upstream recorded; 1 corrected, 1 left alone.',
      '',
      'Corrected:',
      '  UPSTREAM  WHAT     WHY',
      '  up-1      deleted  gone\\u{1b}[2J from 2 lists',
      '',
      'Left alone:',
      '  UPSTREAM  WHY',
      '  up-2      changed meanwhile',
    ].join('\n'),
  )
})

t.test('what is not done says why, and what to do', async (t) => {
  const problems = ['3 of 4 running upstreams are gone']
  for (const [outcome, advice] of [
    ['stopped', /lanekeeper sync --confirm/],
    ['incomplete', /Nothing was taken for gone.*lanekeeper sync/],
    ['failed', /Nothing was compared.*lanekeeper sync/],
  ] as const) {
    const lines = syncInWords({ ...report, outcome, problems }).split('\n')
    t.match(lines[0], `Sync p-1 is ${outcome}:`)
    t.equal(lines[2], problems[0])
    t.match(lines[3], advice)
  }
  t.equal(syncInWords({ ...report, outcome: 'constructor' }).split('\n').length, 2)
})
