// What a process holds, read every few seconds, and how it grows: least squares over the time that it ran, without its
// beginning. Linux only.

import { readdirSync, readFileSync } from 'node:fs'
import type { KeptProcess } from './kept-process.ts'

type Reading = {
  readonly atMs: number
  readonly start: number
  readonly values: { readonly [name: string]: number }
}

export type Growth = {
  readonly process: string
  readonly what: string
  readonly perHour: number
  /** Twice the standard error of that. */
  readonly error: number
  readonly mean: number
  readonly readings: number
}

const pageBytes = 4096
/** Of the time of one start: caches fill, and code is compiled. */
const warmUpShare = 0.25
const warmUpMs = 30_000

/** By which a gateway's own figures are called in /metrics. */
const metrics: { readonly [what: string]: string } = {
  'heap after GC (share of what it may use)': 'lanekeeper_heap_used_ratio',
  'known pins': 'lanekeeper_known_pins',
  connections: 'lanekeeper_client_connections',
  tunnels: 'lanekeeper_upstream_tunnels',
}

export type Gauge = ReturnType<typeof makeGauge>

export function makeGauge(processes: readonly KeptProcess[]) {
  const readings = new Map<KeptProcess, Reading[]>(processes.map((one) => [one, []]))

  async function read(kept: KeptProcess): Promise<Reading | null> {
    const [start, pid, atMs] = [kept.starts(), kept.pid(), performance.now()]
    try {
      const signal = AbortSignal.timeout(2000)
      const url = `http://127.0.0.1:${kept.adminPort}/metrics`
      const text = await (await fetch(url, { headers: { connection: 'close' }, signal })).text()
      const rssPages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1])
      const own = {
        descriptors: readdirSync(`/proc/${pid}/fd`).length,
        'RSS (MB)': (rssPages * pageBytes) / 1e6,
      }
      const told = Object.entries(metrics).map(([what, name]) => [what, sumOf(text, name)] as const)
      return { atMs, start, values: { ...own, ...Object.fromEntries(told) } }
    } catch {
      // It is down, or frozen.
      return null
    }
  }

  return {
    async readAll(): Promise<void> {
      for (const [kept, all] of readings) {
        const reading = kept.isUp() ? await read(kept) : null
        if (reading && reading.start === kept.starts()) all.push(reading)
      }
    },

    last: (kept: KeptProcess): Reading['values'] => readings.get(kept)?.at(-1)?.values ?? {},

    /** Over the longest time that each ran without being started again. */
    growth(untilMs: number): Growth[] {
      return [...readings].flatMap(([{ name }, all]) => {
        const lives = [...Map.groupBy(all, ({ start }) => start).values()]
        const [longest = []] = lives.sort((a, b) => spanOf(b) - spanOf(a))
        const fromMs = (longest[0]?.atMs ?? 0) + Math.max(warmUpMs, spanOf(longest) * warmUpShare)
        const kept = longest.filter(({ atMs }) => atMs >= fromMs && atMs <= untilMs)
        if (kept.length < 5) return []
        return Object.keys(kept[0]!.values).map((what) => ({
          process: name,
          what,
          ...line(kept.map(({ atMs, values }) => ({ x: atMs / 3_600_000, y: values[what]! }))),
          readings: kept.length,
        }))
      })
    },
  }
}

function spanOf(readings: readonly Reading[]): number {
  return (readings.at(-1)?.atMs ?? 0) - (readings[0]?.atMs ?? 0)
}

function sumOf(text: string, name: string): number {
  const lines = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/** Least squares. @see https://en.wikipedia.org/wiki/Simple_linear_regression */
export function line(points: readonly { readonly x: number; readonly y: number }[]) {
  const count = points.length
  const mean = (of: (point: { x: number; y: number }) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / count
  const [x, y] = [mean((point) => point.x), mean((point) => point.y)]
  const spread = points.reduce((sum, point) => sum + (point.x - x) ** 2, 0)
  const slope = points.reduce((sum, point) => sum + (point.x - x) * (point.y - y), 0) / spread
  const rest = points.reduce((sum, point) => sum + (point.y - y - slope * (point.x - x)) ** 2, 0)
  return { perHour: slope, error: 2 * Math.sqrt(rest / Math.max(1, count - 2) / spread), mean: y }
}
