// Which name was meant. Pure.

/** @returns the known name that is fewest typing errors away; null where none is near */
export function nearest(word: string, known: Iterable<string>): string | null {
  const found = [...known]
    .map((name) => ({ name, errors: typingErrors(word, name) }))
    .sort((a, b) => a.errors - b.errors)[0]
  return found && found.errors <= Math.max(1, Math.floor(found.name.length / 3)) ? found.name : null
}

/** A letter missing, added or wrong, or two that changed places (optimal string alignment). */
function typingErrors(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, column) => column)]
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const isSame = a[i - 1] === b[j - 1]
      const best = Math.min(row[j - 1]! + 1, rows[i - 1]![j]! + 1, rows[i - 1]![j - 1]! + (isSame ? 0 : 1))
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row.push(isSwapped ? Math.min(best, rows[i - 2]![j - 2]! + 1) : best)
    }
    rows.push(row)
  }
  return rows[a.length]![b.length]!
}
