// Sheds new work before the heap is full, since V8 ends a process that fills it, with all its tunnels (fault 42).
//
// What counts is what was left after the last full collection: all that is used holds garbage too, any amount of it. But the
// last collection may be long ago, so with less than the line in use now nothing is shed; and where too much was left and
// nothing made V8 collect since, we have it collect, seldom, or what was freed meanwhile would never be known.
//
// Measured on Node 24.21 with --max-old-space-size=128 (2026-11-21): the limit that V8 tells is 320 MB, since it holds
// 192 MB for what is young; the process ended with 110 MB in use, that is at 86 % of the 128. V8 gives up from 80 % on,
// once collections take most of the time. So these 80 % are what JavaScript may use.

import { PerformanceObserver, constants, type PerformanceEntry } from 'node:perf_hooks'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { GatewayError } from '../errors.ts'
import type { Events } from '../events.ts'

export type Heap = {
  readonly usedBytes: number
  /** Most that may be in use after a collection. */
  readonly mayUseBytes: number
}

export type HeapSource = {
  readonly read: () => Heap
  /** Collects all that can be. Nothing else runs meanwhile: about 1 ms per MB that is in use. */
  readonly collect: () => void
  /** Calls back soon after each full collection. @returns ends that */
  readonly onCollected: (listener: () => void) => () => void
}

export type HeapGuard = ReturnType<typeof makeHeapGuard>

/** Less by so many points, and new work is taken again: not with each byte that comes and goes. */
const hysteresis = 5
/** From one collection of ours to the next, while the heap is full; twice as long after each. */
const patience = { minMs: 5000, maxMs: 60_000 }

export function makeHeapGuard(parts: {
  /** Read at each use: a reload may change it. */
  readonly limits: { readonly maxHeapPercent: number }
  readonly heap: HeapSource
  readonly events: Pick<Events, 'emit'>
  /** Monotonic milliseconds. */
  readonly now: () => number
}) {
  const { limits, heap, events, now } = parts
  let left = heap.read().usedBytes
  let isShort = false
  let collectAtMs = Infinity
  let waitMs = patience.minMs

  const stop = heap.onCollected(() => {
    left = heap.read().usedBytes
    judge()
  })

  function percentOf(bytes: number): number {
    return (100 * bytes) / heap.read().mayUseBytes
  }

  function judge(): void {
    const percent = percentOf(Math.min(left, heap.read().usedBytes))
    if (!isShort && percent >= limits.maxHeapPercent) {
      isShort = true
      waitMs = patience.minMs
      collectAtMs = now() + waitMs
      events.emit('memory_short', { percent: Math.round(percent) })
    } else if (isShort && percent < limits.maxHeapPercent - hysteresis) {
      isShort = false
      events.emit('memory_found')
    }
  }

  function collectIfDue(): void {
    if (!isShort || now() < collectAtMs) return
    heap.collect()
    left = heap.read().usedBytes
    waitMs = Math.min(2 * waitMs, patience.maxMs)
    collectAtMs = now() + waitMs
    judge()
  }

  return {
    /** No new work now. Cheap enough for each request: under 1 us, unless it collects. */
    get isShort(): boolean {
      judge()
      collectIfDue()
      return isShort
    },

    /** Of what JavaScript may use, what is in use at most. */
    get percent(): number {
      return percentOf(Math.min(left, heap.read().usedBytes))
    },

    stop,
  }
}

export function memoryShort(): GatewayError {
  return new GatewayError('overloaded', {
    detail: 'This gateway is short of memory (gateway.maxHeapPercent). Try again, or another one.',
  })
}

/** What V8 keeps for the young beside the old generation: three semi-spaces, of 64 MB since Node 24, of 16 MB before. */
const youngBytes = (Number.parseInt(process.versions.node, 10) >= 24 ? 192 : 48) * 1_048_576
/** From here on V8 may give up (`IsIneffectiveMarkCompact` in its heap.cc). */
const usableShare = 0.8

/** @param limitBytes  as V8 tells it */
export function usableOf(limitBytes: number): number {
  const oldBytes = limitBytes - youngBytes
  // Next to nothing: --max-semi-space-size made the young generation smaller than we know. Rather too early than too late.
  return usableShare * (oldBytes > limitBytes / 5 ? oldBytes : (2 / 5) * limitBytes)
}

/** The heap of this process. */
export function ownHeap(): HeapSource {
  let collectGarbage: (() => void) | null = null
  return {
    read() {
      const { used_heap_size, heap_size_limit } = getHeapStatistics()
      return { usedBytes: used_heap_size, mayUseBytes: usableOf(heap_size_limit) }
    },
    collect() {
      collectGarbage ??= exposedCollection()
      collectGarbage()
    },
    onCollected(listener) {
      const observer = new PerformanceObserver((list) => {
        if (list.getEntries().some(isFull)) listener()
      })
      observer.observe({ entryTypes: ['gc'] })
      return () => observer.disconnect()
    },
  }
}

/** Node's types leave `detail` out. */
function isFull(entry: PerformanceEntry & { readonly detail?: unknown }): boolean {
  return (entry.detail as { kind?: number } | undefined)?.kind === constants.NODE_PERFORMANCE_GC_MAJOR
}

/** V8 gives it to new contexts only, and by a flag only. */
function exposedCollection(): () => void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  setFlagsFromString('--no-expose-gc')
  return collect as () => void
}
