/** Gives indices below `count`: each as often as the others, or the n-th in proportion to 1/n (Zipf with exponent 1). */
export function pickerOf(
  count: number,
  distribution: 'uniform' | 'zipf',
  random: () => number = Math.random,
): () => number {
  if (count === 1) return () => 0;
  if (distribution === 'uniform') return () => Math.floor(random() * count);
  const upTo = new Float64Array(count);
  let sum = 0;
  for (let index = 0; index < count; index += 1) {
    sum += 1 / (index + 1);
    upTo[index] = sum;
  }
  return () => firstAbove(upTo, random() * sum);
}

function firstAbove(ascending: Float64Array, value: number): number {
  let [low, high] = [0, ascending.length - 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] ?? Infinity) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}
