// All cases, in the order in which they run. A new one is a file here and a line below.

import type { BenchCase } from '../fixtures/case.ts'
import { bulk } from './bulk.ts'
import { carriers } from './carriers.ts'
import { exchanges } from './exchanges.ts'
import { hostile } from './hostile.ts'
import { idle } from './idle.ts'
import { pins } from './pins.ts'
import { plainHttp } from './plain-http.ts'
import { sync } from './sync.ts'
import { tunnels } from './tunnels.ts'

export const cases: readonly BenchCase[] = [
  plainHttp,
  tunnels,
  exchanges,
  bulk,
  idle,
  pins,
  carriers,
  sync,
  hostile,
]
