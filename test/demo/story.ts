import t from 'tap'
import { makeStory, wrapped } from '../../src/demo/story.ts'

function storyOn(screen: { readonly isTTY: boolean; readonly columns?: number }) {
  let nowMs = 0
  const written: string[] = []
  const story = makeStory({ ...screen, write: (text) => written.push(text) }, () => nowMs)
  return { story, written, pass: (ms: number) => void (nowMs += ms) }
}

t.test('a line has the time since the beginning', async (t) => {
  const { story, written, pass } = storyOn({ isTTY: false })
  pass(12_345)
  story.say('it runs')
  story.print('without')
  t.strictSame(written, [' 12.3 s  it runs\n', 'without\n'])
})

t.test(
  'on a terminal a live line is drawn in place, cut to its width, and stays as it was last',
  async (t) => {
    const { story, written } = storyOn({ isTTY: true, columns: 16 })
    story.live('one')
    story.live('one')
    story.live('two jobs')
    story.say('done')
    t.strictSame(written, ['  0.0 s  one', '\r\x1b[K  0.0 s  two jo', '\n', '  0.0 s  done\n'])
  },
)

t.test('a log gets a live line where it has changed, once a second', async (t) => {
  const { story, written, pass } = storyOn({ isTTY: false })
  story.live('one')
  pass(500)
  story.live('two')
  pass(500)
  story.live('three')
  pass(1000)
  story.live('three')
  t.strictSame(written, ['  0.0 s  one\n', '  1.0 s  three\n'])
})

t.test('a long line is broken between words', async (t) => {
  const words = 'word '.repeat(50).trim()
  const lines = wrapped(words).split('\n')
  t.ok(lines.length > 2 && lines.every((line) => line.length <= 100))
  t.equal(lines.map((line) => line.trim()).join(' '), words, 'and nothing is lost')
  const long = 'x'.repeat(150)
  t.equal(wrapped(long), long)
  t.equal(wrapped(`a ${long}`), `a ${long}`)
})
