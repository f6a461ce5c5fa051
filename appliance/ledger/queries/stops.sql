-- Every emergency stop and release: when, by whom, why.
select seq, at, clock, boot, iif(latched, 'stopped', 'released') as what, peer, reason, facts
from stops
order by seq desc
