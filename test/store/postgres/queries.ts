import { readdirSync } from 'node:fs'
import t from 'tap'
import { queries } from '../../../src/store/postgres/queries.ts'

const folder = new URL('../../../src/store/postgres/queries/', import.meta.url)

t.test('every file is a query, and every query a file', async (t) => {
  const files = readdirSync(folder).map((file) => file.replace(/\.sql$/, ''))
  t.same(Object.keys(queries).sort(), files.sort())
})

t.test('each begins with its purpose, and explains each of its values', async (t) => {
  for (const [name, text] of Object.entries(queries)) {
    const comment = text.match(/^(--.*\n)+/)?.[0] ?? ''
    const statement = text.slice(comment.length)
    t.ok(comment.length > 0, `${name} says what it is for`)
    t.notMatch(statement, /;|--/, `${name} is one statement`)
    t.same(valuesIn(comment), valuesIn(statement), `${name} explains its values`)
  }
})

t.test('SQL is written in lower case', async (t) => {
  // What stands in quotes is a value: a key of a jsonb column, say.
  for (const [name, text] of Object.entries(queries))
    t.notMatch(text.replace(/^--.*$/gm, '').replaceAll(/'[^']*'/g, ''), /[A-Z]/, `${name}`)
})

function valuesIn(text: string): string[] {
  return [...new Set(text.match(/\$\d+/g))].sort()
}
