// What a sync came to, for people: in one line, what is to be done, and the rows. Pure.

import type { SyncReport } from './shapes.ts'
import { cell, count, table } from './table.ts'

export function syncInWords(report: SyncReport): string {
  const { pass, holder, outcome, startedAt, endedAt, problems, corrected, left } = report
  const seconds = (Date.parse(endedAt) - Date.parse(startedAt)) / 1000
  const found = `${count(report.listed, 'machine')} listed, ${count(report.recorded, 'upstream')} recorded`
  return [
    `Sync ${cell(pass)} is ${cell(outcome)}: by ${cell(holder)} at ${cell(endedAt)}, in ${seconds} s.`,
    `${found}; ${corrected.length} corrected, ${left.length} left alone.`,
    ...problems.map(cell),
    ...adviceOn(outcome),
    ...rows('Corrected:', corrected.length, () =>
      table(
        [
          { title: 'UPSTREAM', of: ({ id }) => id },
          { title: 'WHAT', of: ({ action }) => action },
          { title: 'WHY', of: ({ detail }) => detail },
        ],
        corrected,
      ),
    ),
    ...rows('Left alone:', left.length, () =>
      table(
        [
          { title: 'UPSTREAM', of: ({ id }) => id },
          { title: 'WHY', of: ({ detail }) => detail },
        ],
        left,
      ),
    ),
  ].join('\n')
}

const advice: { readonly [outcome: string]: string } = {
  stopped:
    'If that much is gone indeed: lanekeeper sync --confirm. Else nothing is to be done; no upstream was taken out.',
  incomplete:
    'Nothing was taken for gone. The next pass asks for the whole list again; lanekeeper sync does so now.',
  failed: 'Nothing was compared. The next pass tries again; lanekeeper sync does so now.',
}

function adviceOn(outcome: string): string[] {
  return Object.hasOwn(advice, outcome) ? [advice[outcome]!] : []
}

function rows(title: string, number: number, lines: () => string): string[] {
  return number === 0 ? [] : ['', title, lines().replace(/^/gm, '  ')]
}
