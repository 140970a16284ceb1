// The answers that have a name in the OpenAPI document; routes refer to them by it.

import { ledgerCheckShape, ledgerEntryShape } from './ledger-shapes.ts'
import {
  changedRestrictionShape,
  changedUpstreamShape,
  explanationShape,
  fleetShape,
  jobShape,
  problemShape,
  removedRestrictionShape,
  reportShape,
  restrictionShape,
  syncReportShape,
  tokenShape,
  upstreamShape,
} from './shapes.ts'

export const components = {
  Upstream: upstreamShape,
  ChangedUpstream: changedUpstreamShape,
  Restriction: restrictionShape,
  ChangedRestriction: changedRestrictionShape,
  RemovedRestriction: removedRestrictionShape,
  Explanation: explanationShape,
  Job: jobShape,
  Report: reportShape,
  Fleet: fleetShape,
  SyncReport: syncReportShape,
  JobToken: tokenShape,
  LedgerEntry: ledgerEntryShape,
  LedgerCheck: ledgerCheckShape,
  Problem: problemShape,
}
