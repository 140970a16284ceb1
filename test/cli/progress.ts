import t from 'tap'
import { fitted, makeProgress, type ProgressLine } from '../../src/cli/progress.ts'

const line = (subject: string, text: string, ticking = ''): ProgressLine => ({ subject, text, ticking })

/** A terminal as far as these sequences go: what stands on it in the end. */
function makeTerminal(columns: number, rows: number) {
  let shown: string[] = []
  let size = { columns, rows }
  const write = (text: string) => {
    const [, up = '0', rest = ''] = /^(?:<(\d+)A)?\r<J([^<]*)$/.exec(text.replaceAll('\x1b[', '<')) ?? []
    const lines = rest.split('\n').slice(0, -1)
    const wrapped = lines.flatMap((line) => line.match(new RegExp(`.{1,${size.columns}}`, 'g')) ?? [''])
    shown = [...shown.slice(0, shown.length - Number(up)), ...wrapped]
  }
  return {
    screen: { write, columns: () => size.columns, rows: () => size.rows },
    shown: () => shown,
    /** As terminals do, what is too long now is wrapped. */
    resize(columns: number) {
      size = { ...size, columns }
      shown = shown.flatMap((line) => line.match(new RegExp(`.{1,${columns}}`, 'g')) ?? [''])
    },
  }
}

t.test('a log gets a line only where something has changed, and the time left is no change', async (t) => {
  const said: string[] = []
  const show = makeProgress({ err: (line) => said.push(line), screen: null })
  show([
    line('up-1', 'draining  3 jobs left', ', 14:32 left'),
    line('up-2', 'draining  1 job left', ', 9:00 left'),
  ])
  show([line('up-1', 'draining  3 jobs left', ', 14:31 left'), line('up-2', 'drained')])
  show([line('up-1', 'draining  2 jobs left', ', 14:30 left'), line('up-2', 'drained')])
  t.strictSame(said, [
    'up-1  draining  3 jobs left, 14:32 left',
    'up-2  draining  1 job left, 9:00 left',
    'up-2  drained',
    'up-1  draining  2 jobs left, 14:30 left',
  ])
  said.length = 0
  show([line('up-1', 'draining  2 jobs left'), line('api', 'no answer')])
  show([line('up-1', 'draining  2 jobs left')])
  show([line('up-1', 'draining  2 jobs left'), line('api', 'no answer')])
  t.strictSame(said, ['api  no answer', 'api  no answer'], 'what comes again is said again')
})

t.test('a terminal is drawn in place', async (t) => {
  const terminal = makeTerminal(40, 10)
  const show = makeProgress({ err: () => t.fail('nothing is said beside it'), screen: terminal.screen })
  show([line('up-1', 'draining', ', 1:00'), line('local-2', 'draining')])
  t.strictSame(terminal.shown(), ['up-1     draining, 1:00', 'local-2  draining'])
  show([line('up-1', 'draining', ', 0:59'), line('local-2', 'drained')])
  t.strictSame(terminal.shown(), ['up-1     draining, 0:59', 'local-2  drained'])
  show([line('up-1', 'drained')])
  t.strictSame(terminal.shown(), ['up-1  drained'], 'lines that are gone are erased')
})

t.test('a terminal that was made narrower is drawn over whole', async (t) => {
  const terminal = makeTerminal(40, 10)
  const show = makeProgress({ err: () => {}, screen: terminal.screen })
  show([line('up-1', 'x'.repeat(30)), line('up-2', 'short')])
  t.equal(terminal.shown().length, 2)
  terminal.resize(20)
  t.equal(terminal.shown().length, 3)
  show([line('up-1', 'x'.repeat(30)), line('up-2', 'short')])
  t.strictSame(terminal.shown(), [`up-1  ${'x'.repeat(12)}…`, 'up-2  short'])
})

t.test('what does not fit is cut, and ids in their middle', async (t) => {
  const long = line('lanekeeper-production-k3f9', 'draining  3 jobs left')
  t.strictSame(fitted([long], { columns: 60, rows: 9 }), [
    'lanekeeper-production-k3f9  draining  3 jobs left',
  ])
  t.strictSame(fitted([long], { columns: 40, rows: 9 }), ['lanekeeper…tion-k3f9  draining  3 jobs …'])
  for (const columns of [0, 1, 2, 3, 10]) {
    const [only] = fitted([long], { columns, rows: 1 })
    t.ok(only!.length <= Math.max(1, columns), `${columns} columns: ${only}`)
  }
})

t.test('of more lines than there are rows, those that are over go first', async (t) => {
  const lines = [1, 2, 3, 4, 5].map((n) => ({ ...line(`up-${n}`, 'x'), isOver: n < 3 }))
  t.strictSame(fitted(lines, { columns: 20, rows: 4 }), ['up-3  x', 'up-4  x', 'up-5  x', 'and 2 more'])
  t.strictSame(fitted(lines, { columns: 20, rows: 3 }), ['up-3  x', 'up-4  x', 'and 3 more'])
  t.equal(fitted(lines, { columns: 20, rows: 5 }).length, 5)
  t.strictSame(fitted([], { columns: 20, rows: 5 }), [])
})
