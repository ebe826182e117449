// Who has tagged what, and where they disagree.

export function open() {}
