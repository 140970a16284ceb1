-- Answers where the database does.
select 1 as answer
