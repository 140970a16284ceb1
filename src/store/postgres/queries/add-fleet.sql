-- Makes the fleet's row where it is not there yet.
-- $1 fleet
insert into fleets (name)
values ($1)
on conflict (name) do nothing
