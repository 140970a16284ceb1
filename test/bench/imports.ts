// A bench runs without the test runner, which would end it after thirty seconds.

import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'

const root = join(import.meta.dirname, '../..')

/** What is loaded when the program runs: types are gone then. */
function loadedBy(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  const statements = text.matchAll(/^\s*(?:import|export)\s+(?!type\s)(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm)
  return [...statements].map(([, name = '']) => (name.startsWith('.') ? join(dirname(file), name) : name))
}

t.test('no bench loads the test runner', async (t) => {
  const seen = new Set<string>()
  const waiting = globSync('bench/**/*.ts', { cwd: root })
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (seen.has(file)) continue
    seen.add(file)
    for (const name of loadedBy(file)) {
      if (name.endsWith('.ts')) waiting.push(name)
      else t.not(name, 'tap', `${file} loads it`)
    }
  }
  t.ok(seen.has('src/demo/processes.ts') && seen.size > 40, `${seen.size} files were looked at`)
})
