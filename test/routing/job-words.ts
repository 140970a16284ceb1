import t from 'tap'
import { isJobId, isLaneWord } from '../../src/routing/job-words.ts'

t.test('the words of a lane are those of a job id without the colon, half as long', async (t) => {
  const rows: [text: string, jobId: boolean, laneWord: boolean][] = [
    ['a', true, true],
    ['0', true, true],
    ['A.b_c~d@e+f-g', true, true],
    ['a:b', true, false],
    ['a'.repeat(64), true, true],
    ['a'.repeat(65), true, false],
    ['a'.repeat(128), true, false],
    ['a'.repeat(129), false, false],
    ['', false, false],
    ['-a', false, false],
    ['.a', false, false],
    [':a', false, false],
    ['a,b', false, false],
    ['a=b', false, false],
    ['a\n', false, false],
    ['\u00e9', false, false],
    ['*', false, false],
  ]
  for (const [text, jobId, laneWord] of rows) {
    t.same([isJobId(text), isLaneWord(text)], [jobId, laneWord], JSON.stringify(text.slice(0, 20)))
  }
})
