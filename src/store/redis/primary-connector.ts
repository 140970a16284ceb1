// Connects as the driver does by itself, but only a primary counts as ready: a replica would answer reads with
// what was, and every write with READONLY. The driver asks `check` with the fields of INFO before it is ready,
// and tries again later where the answer is no. Its own connector is not among its exports.

import type { StandaloneConnectionOptions } from 'ioredis'
import connectors from 'ioredis/built/connectors/StandaloneConnector.js'

export class PrimaryConnector extends connectors.default {
  constructor(options: unknown) {
    super(options as StandaloneConnectionOptions)
  }

  override check(info: { readonly role?: string }): boolean {
    return info.role !== 'slave'
  }
}
