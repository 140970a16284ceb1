import t from 'tap'
import { problem } from '../../src/admin/problem.ts'

t.test('a problem document has a stable code, and a type made of it', async (t) => {
  t.strictSame(problem(404, 'not_found', 'No job "x".'), {
    type: 'urn:lanekeeper:error:not_found',
    title: 'There is no such thing',
    status: 404,
    code: 'not_found',
    detail: 'No job "x".',
  })
})

t.test('a code without a title of its own is its own title', async (t) => {
  t.equal(problem(400, 'some_code', '').title, 'some_code')
})
