import { setTimeout } from "node:timers/promises";
import type { Deadline } from "@grpc/grpc-js";

/** The time before a call's deadline at which the policy stops waiting, so that its answer still arrives. */
export const replyMs = 50;
/** What a timer can wait for. */
const longestMs = 2 ** 31 - 1;

/** Tells whether a client could show a blocked word; rejects if the signal aborts first. */
export type Lookup = (content: string, signal: AbortSignal) => Promise<boolean>;

/**
 * Looks for words that are in memory. The delay stands for the time that a moderation service would take: ask it in this
 * place, with the same signal (`fetch` takes one).
 */
export function lookup(isBlocked: (content: string) => boolean, delayMs = 0): Lookup {
  return async (content, signal) => {
    if (delayMs > 0) await setTimeout(delayMs, undefined, { signal });
    return isBlocked(content);
  };
}

/** A signal that aborts shortly before the call's deadline; without a deadline it is Infinity. */
export function beforeDeadline(deadline: Deadline): AbortSignal {
  const ms = Number(deadline) - Date.now() - replyMs;
  return AbortSignal.timeout(Math.min(Math.max(0, ms), longestMs));
}
