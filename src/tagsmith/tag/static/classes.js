// The classes: add, rename, merge, split, describe.

export function open() {}
