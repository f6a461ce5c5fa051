-- What is no longer here, and what may not go: pruned records, erased words, holds, changed keys, earlier epochs.
select epoch, seq, at, kind, facts
from system
where kind in ('pruned', 'redacted', 'hold', 'key_rotated', 'salvaged', 'gap', 'epoch')
order by at desc
