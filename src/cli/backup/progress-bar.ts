import process from 'node:process';
import { SingleBar } from 'cli-progress';
import type { RecoveryProgress } from '../../core/recovery/full-backup/ports.ts';

/** A bar where people look on; nothing where they don't, or a machine reads. */
export function createProgressBar({ isShown }: { readonly isShown: boolean }) {
  const bar = new SingleBar({
    format:
      '{bar} {percentage} % | {value} of {total} keys | {megabytes} MB | {eta_formatted} left',
    stream: process.stderr,
    hideCursor: true,
  });
  let hasBegun = false;
  const onProgress = ({ keys, ofKeys, bytes }: RecoveryProgress) => {
    if (!isShown) return;
    const payload = { megabytes: (bytes / 1e6).toFixed(0) };
    if (hasBegun) bar.update(keys, payload);
    else bar.start(ofKeys, keys, payload);
    hasBegun = true;
  };
  const end = () => {
    if (hasBegun) bar.stop();
    hasBegun = false;
  };
  return { onProgress, end };
}
