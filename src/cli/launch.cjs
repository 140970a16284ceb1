#!/usr/bin/env node
// Starts the CLI with a Node that runs TypeScript as it is (22.19 or newer): this one, or the one that npm put
// beside us as an optional dependency. Plain old JavaScript, since any Node must be able to read it.
'use strict'

const { spawn } = require('node:child_process')
const { existsSync } = require('node:fs')
const { constants } = require('node:os')
const { join } = require('node:path')
const { pathToFileURL } = require('node:url')

const main = join(__dirname, 'main.ts')

/** 23.x: strips types without a flag only from 23.6 on, and is past its end of life. */
function runsTypeScript(version) {
  const [major, minor] = version.split('.').map(Number)
  return major >= 24 || (major === 22 && minor >= 19)
}

function bundledNode() {
  const path = join(__dirname, '..', '..', 'node_modules', '.bin', 'node')
  return existsSync(path) ? path : null
}

/** A terminal signals its whole group, so our child too; a second SIGINT from us would be a second Ctrl-C. */
function signalsToPassOn() {
  const atTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY
  return atTerminal
    ? { passOn: ['SIGTERM', 'SIGUSR2'], ignore: ['SIGINT', 'SIGHUP'] }
    : { passOn: ['SIGTERM', 'SIGUSR2', 'SIGINT', 'SIGHUP'], ignore: [] }
}

function runWith(node) {
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: 'inherit' })
  const { passOn, ignore } = signalsToPassOn()
  for (const signal of passOn) process.on(signal, () => child.kill(signal))
  for (const signal of ignore) process.on(signal, () => {})
  child.on('error', (error) => {
    console.error(`Lanekeeper cannot start ${node}: ${error.message}`)
    process.exit(1)
  })
  // Ended by a signal: 128 and its number, as a shell has it.
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))
}

function giveUp() {
  console.error(
    `Lanekeeper needs Node 22.19 or newer, found ${process.version} (${process.execPath}).\n` +
      'Run `npm ci` without --omit=optional (it brings Node 24 on Linux x64 and arm64), or install Node 24.',
  )
  process.exit(1)
}

// A reload that is asked for before `start` listens has nothing to do yet, and must not end us.
if (process.argv[2] === 'start') process.on('SIGHUP', () => {})

const bundled = bundledNode()
if (runsTypeScript(process.versions.node)) import(pathToFileURL(main).href)
else if (bundled) runWith(bundled)
else giveUp()
