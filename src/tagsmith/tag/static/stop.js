// How well the suggestions do by now, and whether more tags would help.

export function open() {}
