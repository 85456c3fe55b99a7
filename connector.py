"""What Fivetran imports."""
